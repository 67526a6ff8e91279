-- The eight tables of TPC-H, from text to Parquet, with the types of the specification. Money and quantities are decimals:
-- their sums do not depend on the order of rows.

CREATE EXTERNAL TABLE nation_text (
    n_nationkey BIGINT NOT NULL, n_name TEXT NOT NULL, n_regionkey BIGINT NOT NULL, n_comment TEXT NOT NULL
) STORED AS CSV LOCATION 'csv/nation/' OPTIONS (has_header true);

CREATE EXTERNAL TABLE region_text (
    r_regionkey BIGINT NOT NULL, r_name TEXT NOT NULL, r_comment TEXT NOT NULL
) STORED AS CSV LOCATION 'csv/region/' OPTIONS (has_header true);

CREATE EXTERNAL TABLE supplier_text (
    s_suppkey BIGINT NOT NULL, s_name TEXT NOT NULL, s_address TEXT NOT NULL, s_nationkey BIGINT NOT NULL,
    s_phone TEXT NOT NULL, s_acctbal DECIMAL(15, 2) NOT NULL, s_comment TEXT NOT NULL
) STORED AS CSV LOCATION 'csv/supplier/' OPTIONS (has_header true);

CREATE EXTERNAL TABLE part_text (
    p_partkey BIGINT NOT NULL, p_name TEXT NOT NULL, p_mfgr TEXT NOT NULL, p_brand TEXT NOT NULL, p_type TEXT NOT NULL,
    p_size INT NOT NULL, p_container TEXT NOT NULL, p_retailprice DECIMAL(15, 2) NOT NULL, p_comment TEXT NOT NULL
) STORED AS CSV LOCATION 'csv/part/' OPTIONS (has_header true);

CREATE EXTERNAL TABLE partsupp_text (
    ps_partkey BIGINT NOT NULL, ps_suppkey BIGINT NOT NULL, ps_availqty INT NOT NULL,
    ps_supplycost DECIMAL(15, 2) NOT NULL, ps_comment TEXT NOT NULL
) STORED AS CSV LOCATION 'csv/partsupp/' OPTIONS (has_header true);

CREATE EXTERNAL TABLE customer_text (
    c_custkey BIGINT NOT NULL, c_name TEXT NOT NULL, c_address TEXT NOT NULL, c_nationkey BIGINT NOT NULL,
    c_phone TEXT NOT NULL, c_acctbal DECIMAL(15, 2) NOT NULL, c_mktsegment TEXT NOT NULL, c_comment TEXT NOT NULL
) STORED AS CSV LOCATION 'csv/customer/' OPTIONS (has_header true);

CREATE EXTERNAL TABLE orders_text (
    o_orderkey BIGINT NOT NULL, o_custkey BIGINT NOT NULL, o_orderstatus TEXT NOT NULL,
    o_totalprice DECIMAL(15, 2) NOT NULL, o_orderdate DATE NOT NULL, o_orderpriority TEXT NOT NULL,
    o_clerk TEXT NOT NULL, o_shippriority INT NOT NULL, o_comment TEXT NOT NULL
) STORED AS CSV LOCATION 'csv/orders/' OPTIONS (has_header true);

CREATE EXTERNAL TABLE lineitem_text (
    l_orderkey BIGINT NOT NULL, l_partkey BIGINT NOT NULL, l_suppkey BIGINT NOT NULL, l_linenumber INT NOT NULL,
    l_quantity DECIMAL(15, 2) NOT NULL, l_extendedprice DECIMAL(15, 2) NOT NULL, l_discount DECIMAL(15, 2) NOT NULL,
    l_tax DECIMAL(15, 2) NOT NULL, l_returnflag TEXT NOT NULL, l_linestatus TEXT NOT NULL, l_shipdate DATE NOT NULL,
    l_commitdate DATE NOT NULL, l_receiptdate DATE NOT NULL, l_shipinstruct TEXT NOT NULL, l_shipmode TEXT NOT NULL,
    l_comment TEXT NOT NULL
) STORED AS CSV LOCATION 'csv/lineitem/' OPTIONS (has_header true);

-- Small files, so that all but the two least tables have several, for which several tasks are at work.
COPY nation_text TO 'tpch/nation/' OPTIONS (sort 'n_nationkey');
COPY region_text TO 'tpch/region/' OPTIONS (sort 'r_regionkey');
COPY supplier_text TO 'tpch/supplier/' OPTIONS (sort 's_suppkey', row_group_rows 25, target_file_size '1KiB');
COPY part_text TO 'tpch/part/' OPTIONS (sort 'p_partkey', row_group_rows 500, target_file_size '8KiB');
COPY partsupp_text TO 'tpch/partsupp/' OPTIONS (sort 'ps_partkey, ps_suppkey', row_group_rows 2000, target_file_size '32KiB');
COPY customer_text TO 'tpch/customer/' OPTIONS (sort 'c_custkey', row_group_rows 500, target_file_size '16KiB');
COPY orders_text TO 'tpch/orders/' OPTIONS (sort 'o_orderkey', row_group_rows 4000, target_file_size '64KiB');
COPY lineitem_text TO 'tpch/lineitem/'
OPTIONS (sort 'l_orderkey, l_linenumber', row_group_rows 16000, target_file_size '256KiB');
