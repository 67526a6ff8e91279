-- TPC-H query 18: the customers of large volume.
-- `o_orderkey` makes the order total.

CREATE EXTERNAL TABLE customer STORED AS PARQUET LOCATION 'tpch/customer/';
CREATE EXTERNAL TABLE orders STORED AS PARQUET LOCATION 'tpch/orders/';
CREATE EXTERNAL TABLE lineitem STORED AS PARQUET LOCATION 'tpch/lineitem/';

CREATE VIEW answer AS
SELECT c_name, c_custkey, o_orderkey, o_orderdate, o_totalprice, sum(l_quantity) AS sum_qty
FROM customer, orders, lineitem
WHERE o_orderkey IN (SELECT l_orderkey FROM lineitem GROUP BY l_orderkey HAVING sum(l_quantity) > 300)
  AND c_custkey = o_custkey
  AND o_orderkey = l_orderkey
GROUP BY c_name, c_custkey, o_orderkey, o_orderdate, o_totalprice
ORDER BY o_totalprice DESC, o_orderdate, o_orderkey
LIMIT 100;

COPY answer TO 'answer/' OPTIONS (sort 'o_totalprice DESC, o_orderdate, o_orderkey');
