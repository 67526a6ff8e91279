-- TPC-H query 11: the important stock.
-- The fraction is 0.0001 divided by the scale, as specified. `ps_partkey` makes the order total.

SET datafusion.sql_parser.parse_float_as_decimal = true;

CREATE EXTERNAL TABLE partsupp STORED AS PARQUET LOCATION 'tpch/partsupp/';
CREATE EXTERNAL TABLE supplier STORED AS PARQUET LOCATION 'tpch/supplier/';
CREATE EXTERNAL TABLE nation STORED AS PARQUET LOCATION 'tpch/nation/';

CREATE VIEW answer AS
SELECT ps_partkey, sum(ps_supplycost * ps_availqty) AS value
FROM partsupp, supplier, nation
WHERE ps_suppkey = s_suppkey
  AND s_nationkey = n_nationkey
  AND n_name = 'GERMANY'
GROUP BY ps_partkey
HAVING sum(ps_supplycost * ps_availqty) > (
  SELECT sum(ps_supplycost * ps_availqty) * 0.01
  FROM partsupp, supplier, nation
  WHERE ps_suppkey = s_suppkey
    AND s_nationkey = n_nationkey
    AND n_name = 'GERMANY'
)
ORDER BY value DESC, ps_partkey;

COPY answer TO 'answer/' OPTIONS (sort 'value DESC, ps_partkey');
