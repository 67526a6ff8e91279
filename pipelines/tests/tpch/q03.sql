-- TPC-H query 3: the shipping priority.
-- `l_orderkey` makes the order total.

CREATE EXTERNAL TABLE customer STORED AS PARQUET LOCATION 'tpch/customer/';
CREATE EXTERNAL TABLE orders STORED AS PARQUET LOCATION 'tpch/orders/';
CREATE EXTERNAL TABLE lineitem STORED AS PARQUET LOCATION 'tpch/lineitem/';

CREATE VIEW answer AS
SELECT l_orderkey, sum(l_extendedprice * (1 - l_discount)) AS revenue, o_orderdate, o_shippriority
FROM customer, orders, lineitem
WHERE c_mktsegment = 'BUILDING'
  AND c_custkey = o_custkey
  AND l_orderkey = o_orderkey
  AND o_orderdate < DATE '1995-03-15'
  AND l_shipdate > DATE '1995-03-15'
GROUP BY l_orderkey, o_orderdate, o_shippriority
ORDER BY revenue DESC, o_orderdate, l_orderkey
LIMIT 10;

COPY answer TO 'answer/' OPTIONS (sort 'revenue DESC, o_orderdate, l_orderkey');
