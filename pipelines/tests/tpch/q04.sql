-- TPC-H query 4: the order priority checking.
-- Its order is left to the partitions.

CREATE EXTERNAL TABLE orders STORED AS PARQUET LOCATION 'tpch/orders/';
CREATE EXTERNAL TABLE lineitem STORED AS PARQUET LOCATION 'tpch/lineitem/';

CREATE VIEW answer AS
SELECT o_orderpriority, count(*) AS order_count
FROM orders
WHERE o_orderdate >= DATE '1993-07-01'
  AND o_orderdate < DATE '1993-07-01' + INTERVAL '3' MONTH
  AND EXISTS (SELECT * FROM lineitem WHERE l_orderkey = o_orderkey AND l_commitdate < l_receiptdate)
GROUP BY o_orderpriority;

COPY answer TO 'answer/' PARTITIONED BY (o_orderpriority);
