-- TPC-H query 6: the forecasting revenue change.

SET datafusion.sql_parser.parse_float_as_decimal = true;

CREATE EXTERNAL TABLE lineitem STORED AS PARQUET LOCATION 'tpch/lineitem/';

CREATE VIEW answer AS
SELECT sum(l_extendedprice * l_discount) AS revenue
FROM lineitem
WHERE l_shipdate >= DATE '1994-01-01'
  AND l_shipdate < DATE '1994-01-01' + INTERVAL '1' YEAR
  AND l_discount BETWEEN 0.06 - 0.01 AND 0.06 + 0.01
  AND l_quantity < 24;

COPY answer TO 'answer/';
