"""Daily metrics as Parquet files for other tools, one folder for each day.

They follow the table: the same partitions, written in the same run.
"""

from time import perf_counter

import dagster as dg

from assets.daily_campaign_metrics import daily_campaign_metrics
from drip_pipeline.engine.metrics.parquet_export import export_days, metrics_folder
from drip_pipeline.orchestration.automation import AFTER_ITS_TABLE
from drip_pipeline.orchestration.catalog import METRICS, OWNERS, written_by
from drip_pipeline.orchestration.failures import RETRY_POLICY, translate_errors
from drip_pipeline.orchestration.metadata.common import seconds
from drip_pipeline.orchestration.metadata.daily_metrics import exported_metadata
from drip_pipeline.orchestration.partitions import ONE_RUN, days, days_of
from drip_pipeline.orchestration.resources import EngineResource
from drip_pipeline.settings import Settings


@dg.asset(
    deps=[daily_campaign_metrics],
    partitions_def=days,
    backfill_policy=ONE_RUN,
    automation_condition=AFTER_ITS_TABLE,
    group_name=METRICS,
    description="The metrics of a day as `day=2026-03-02/metrics.parquet` in DRIP_METRICS_FOLDER, "
    "for DuckDB, pandas, Spark or a spreadsheet. A file is replaced as a whole; a day without "
    "metrics has no file. `drip metrics export` writes the same files.",
    owners=OWNERS,
    kinds={"parquet"},
    retry_policy=RETRY_POLICY,
    metadata=written_by(
        rows="sql/queries/metrics.sql", files="drip_pipeline/engine/metrics/parquet_export.py"
    ),
)
def daily_metrics_files(
    context: dg.AssetExecutionContext, engine: EngineResource
) -> dg.MaterializeResult[None]:
    """Write the files of the days."""
    began = perf_counter()
    folder = metrics_folder(Settings.from_env())
    with translate_errors("writing daily metrics"):
        written = export_days(engine.database, days_of(context), folder)
    for day, metadata in exported_metadata(folder, written).items():
        context.add_asset_metadata(metadata, partition_key=day.isoformat())
    return dg.MaterializeResult(metadata={"run_seconds": seconds(perf_counter() - began)})
