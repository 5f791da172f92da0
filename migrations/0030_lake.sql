-- The lake: pointers to Iceberg tables, and which messages of the stream they hold. docs/decisions/0060-lake.md

-- The layout of the SQL catalogs of Iceberg's Java and Python libraries, which read these tables, too.
CREATE TABLE iceberg_tables (
    catalog_name               varchar(255) NOT NULL,
    table_namespace            varchar(255) NOT NULL,
    table_name                 varchar(255) NOT NULL,
    metadata_location          varchar(1000),
    previous_metadata_location varchar(1000),
    iceberg_type               varchar(5) DEFAULT 'TABLE',
    PRIMARY KEY (catalog_name, table_namespace, table_name)
);
CREATE TABLE iceberg_namespace_properties (
    catalog_name   varchar(255) NOT NULL,
    namespace      varchar(255) NOT NULL,
    property_key   varchar(255) NOT NULL,
    property_value varchar(1000),
    PRIMARY KEY (catalog_name, namespace, property_key)
);

-- What the pointers point to, so that a server shows tables without access to the object store.
CREATE TABLE lake_metadata (
    table_namespace   varchar(255)  NOT NULL,
    table_name        varchar(255)  NOT NULL,
    metadata_location varchar(1000) NOT NULL,
    metadata          text          NOT NULL,
    PRIMARY KEY (table_namespace, table_name)
);

-- Messages that the table of clicks holds, or that are no clicks to be held. A stream that is made anew begins
-- to count again, so its time of creation is part of a message's name.
CREATE TABLE lake_ranges (
    stream            text   NOT NULL,
    -- Microseconds since 1970.
    stream_created_us bigint NOT NULL,
    first_seq         bigint NOT NULL,
    last_seq          bigint NOT NULL,
    -- Rows of it in the table, and the snapshot that brought them; none if there were none.
    rows              bigint NOT NULL,
    snapshot_id       bigint,
    archived_at       timestamptz NOT NULL DEFAULT now(),
    -- One number for a message of whatever stream: 2^63 numbers for each time of creation.
    messages          numrange NOT NULL GENERATED ALWAYS AS (numrange(
        stream_created_us::numeric * 9223372036854775808 + first_seq,
        stream_created_us::numeric * 9223372036854775808 + last_seq, '[]')) STORED,
    PRIMARY KEY (stream, stream_created_us, first_seq),
    CHECK (first_seq <= last_seq),
    EXCLUDE USING gist (messages WITH &&)
);

-- A row while a lake is in use: the stream then forgets nothing that the lake has not read.
CREATE TABLE lake_attachment (
    is_attached boolean     PRIMARY KEY DEFAULT true CHECK (is_attached),
    attached_at timestamptz NOT NULL DEFAULT now()
);
