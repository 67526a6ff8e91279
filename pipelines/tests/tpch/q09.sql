-- TPC-H query 9: the product type profit.

CREATE EXTERNAL TABLE part STORED AS PARQUET LOCATION 'tpch/part/';
CREATE EXTERNAL TABLE supplier STORED AS PARQUET LOCATION 'tpch/supplier/';
CREATE EXTERNAL TABLE lineitem STORED AS PARQUET LOCATION 'tpch/lineitem/';
CREATE EXTERNAL TABLE partsupp STORED AS PARQUET LOCATION 'tpch/partsupp/';
CREATE EXTERNAL TABLE orders STORED AS PARQUET LOCATION 'tpch/orders/';
CREATE EXTERNAL TABLE nation STORED AS PARQUET LOCATION 'tpch/nation/';

CREATE VIEW answer AS
SELECT nation, o_year, sum(amount) AS sum_profit
FROM (
  SELECT n_name AS nation, extract(YEAR FROM o_orderdate) AS o_year,
         l_extendedprice * (1 - l_discount) - ps_supplycost * l_quantity AS amount
  FROM part, supplier, lineitem, partsupp, orders, nation
  WHERE s_suppkey = l_suppkey
    AND ps_suppkey = l_suppkey
    AND ps_partkey = l_partkey
    AND p_partkey = l_partkey
    AND o_orderkey = l_orderkey
    AND s_nationkey = n_nationkey
    AND p_name LIKE '%green%'
) AS profit
GROUP BY nation, o_year
ORDER BY nation, o_year DESC;

COPY answer TO 'answer/' PARTITIONED BY (nation) OPTIONS (sort 'o_year DESC');
