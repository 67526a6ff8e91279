-- TPC-H query 5: the local supplier volume.
-- `n_name` makes the order total.

CREATE EXTERNAL TABLE customer STORED AS PARQUET LOCATION 'tpch/customer/';
CREATE EXTERNAL TABLE orders STORED AS PARQUET LOCATION 'tpch/orders/';
CREATE EXTERNAL TABLE lineitem STORED AS PARQUET LOCATION 'tpch/lineitem/';
CREATE EXTERNAL TABLE supplier STORED AS PARQUET LOCATION 'tpch/supplier/';
CREATE EXTERNAL TABLE nation STORED AS PARQUET LOCATION 'tpch/nation/';
CREATE EXTERNAL TABLE region STORED AS PARQUET LOCATION 'tpch/region/';

CREATE VIEW answer AS
SELECT n_name, sum(l_extendedprice * (1 - l_discount)) AS revenue
FROM customer, orders, lineitem, supplier, nation, region
WHERE c_custkey = o_custkey
  AND l_orderkey = o_orderkey
  AND l_suppkey = s_suppkey
  AND c_nationkey = s_nationkey
  AND s_nationkey = n_nationkey
  AND n_regionkey = r_regionkey
  AND r_name = 'ASIA'
  AND o_orderdate >= DATE '1994-01-01'
  AND o_orderdate < DATE '1994-01-01' + INTERVAL '1' YEAR
GROUP BY n_name
ORDER BY revenue DESC, n_name;

COPY answer TO 'answer/' OPTIONS (sort 'revenue DESC, n_name');
