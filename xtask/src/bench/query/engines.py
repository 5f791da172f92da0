"""Asks DuckDB or ClickHouse (chdb) the same questions, in this process, about the same minutes and roll-ups of them.

Reads {"engine", "csv", "folder", "seconds", "statements", "answer"} from standard input and writes into the file `answer`,
for each statement, its median and 99th percentile in ms, the first time that it was asked left out; null for null.
"""

import json
import sys
import time

KEYS = "bucket BIGINT, advertiser_id {s}, campaign_id {s}, ad_id {s}, country {s}, device_type {s}"
COUNTERS = ["valid", "duplicate", "givt", "sivt", "test", "defective"]
GRAINS = {
    "": "advertiser_id, campaign_id, ad_id, country, device_type",
    "_by_campaign": "advertiser_id, campaign_id",
    "_by_place": "advertiser_id, country, device_type",
}
WIDTHS = {"hours": 3600, "days": 86400}


def roll_up(width, keys, order):
    sums = ", ".join(f"sum({c}) AS {c}" for c in COUNTERS)
    return (
        f"SELECT bucket, {keys}, {sums} FROM "
        f"(SELECT bucket - bucket % {width} AS bucket, {keys}, {', '.join(COUNTERS)} FROM minutes) AS m "
        f"GROUP BY bucket, {keys} {order}"
    )


def duckdb_engine(csv, folder):
    import duckdb

    database = duckdb.connect(f"{folder}/engine.duckdb")
    database.execute("SET enable_progress_bar = false")
    columns = KEYS.format(s="VARCHAR") + "".join(f", {c} BIGINT" for c in COUNTERS)
    database.execute(f"CREATE TABLE minutes ({columns})")
    database.execute(f"COPY minutes FROM '{csv}' (FORMAT csv, HEADER false)")
    for name, width in WIDTHS.items():
        for grain, keys in GRAINS.items():
            order = "ORDER BY advertiser_id, bucket"
            database.execute(f"CREATE TABLE {name}{grain} AS {roll_up(width, keys, order)}")
    database.execute("CHECKPOINT")
    return lambda sql: database.execute(sql).fetchall()


def clickhouse_engine(csv, folder):
    from chdb import session

    database = session.Session(f"{folder}/engine.clickhouse")
    ask = lambda sql: database.query(sql, "TabSeparated").bytes()
    ask("CREATE DATABASE IF NOT EXISTS bench ENGINE = Atomic")
    ask("USE bench")
    columns = KEYS.format(s="LowCardinality(String)") + "".join(f", {c} Int64" for c in COUNTERS)
    tail = "ENGINE = MergeTree ORDER BY (advertiser_id, bucket)"
    ask(f"CREATE TABLE minutes ({columns}) {tail}")
    ask(f"INSERT INTO minutes SELECT * FROM file('{csv}', 'CSV')")
    ask("OPTIMIZE TABLE minutes FINAL")
    for name, width in WIDTHS.items():
        for grain, keys in GRAINS.items():
            ask(f"CREATE TABLE {name}{grain} {tail} AS {roll_up(width, keys, '')}")
    return ask


def measure(ask, sql, seconds):
    if sql is None:
        return None
    ask(sql)
    times, until = [], time.perf_counter() + seconds
    while len(times) < 100 and (not times or time.perf_counter() < until):
        began = time.perf_counter()
        ask(sql)
        times.append((time.perf_counter() - began) * 1000)
    times.sort()
    return [times[len(times) // 2], times[min(len(times) - 1, len(times) * 99 // 100)]]


def main():
    job = json.load(sys.stdin)
    engine = {"duckdb": duckdb_engine, "clickhouse": clickhouse_engine}[job["engine"]]
    ask = engine(job["csv"], job["folder"])
    times = [measure(ask, sql, job["seconds"]) for sql in job["statements"]]
    with open(job["answer"], "w") as answer:
        json.dump(times, answer)


main()
