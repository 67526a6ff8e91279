-- TPC-H query 10: the returned item report.
-- `c_custkey` makes the order total.

CREATE EXTERNAL TABLE customer STORED AS PARQUET LOCATION 'tpch/customer/';
CREATE EXTERNAL TABLE orders STORED AS PARQUET LOCATION 'tpch/orders/';
CREATE EXTERNAL TABLE lineitem STORED AS PARQUET LOCATION 'tpch/lineitem/';
CREATE EXTERNAL TABLE nation STORED AS PARQUET LOCATION 'tpch/nation/';

CREATE VIEW answer AS
SELECT c_custkey, c_name, sum(l_extendedprice * (1 - l_discount)) AS revenue, c_acctbal, n_name, c_address, c_phone,
       c_comment
FROM customer, orders, lineitem, nation
WHERE c_custkey = o_custkey
  AND l_orderkey = o_orderkey
  AND o_orderdate >= DATE '1993-10-01'
  AND o_orderdate < DATE '1993-10-01' + INTERVAL '3' MONTH
  AND l_returnflag = 'R'
  AND c_nationkey = n_nationkey
GROUP BY c_custkey, c_name, c_acctbal, c_phone, n_name, c_address, c_comment
ORDER BY revenue DESC, c_custkey
LIMIT 20;

COPY answer TO 'answer/' OPTIONS (sort 'revenue DESC, c_custkey');
