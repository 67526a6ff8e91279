-- TPC-H query 17: the revenue of small orders.
-- At this scale no order of a MED BOX, the validation parameter, is small enough: it is MED DRUM here.

SET datafusion.sql_parser.parse_float_as_decimal = true;

CREATE EXTERNAL TABLE lineitem STORED AS PARQUET LOCATION 'tpch/lineitem/';
CREATE EXTERNAL TABLE part STORED AS PARQUET LOCATION 'tpch/part/';

CREATE VIEW answer AS
SELECT sum(l_extendedprice) / 7.0 AS avg_yearly
FROM lineitem, part
WHERE p_partkey = l_partkey
  AND p_brand = 'Brand#23'
  AND p_container = 'MED DRUM'
  AND l_quantity < (SELECT 0.2 * avg(l_quantity) FROM lineitem WHERE l_partkey = p_partkey);

COPY answer TO 'answer/';
