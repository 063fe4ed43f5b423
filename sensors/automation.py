"""The sensor that evaluates the automation conditions of assets."""

import dagster as dg

automation = dg.AutomationConditionSensorDefinition(
    name="automation",
    target=dg.AssetSelection.all(),
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every minute: materializes the assets whose automation condition is true: funnels "
    "hourly after new events, metrics files of days that were computed alone.",
)
