"""The sensor that evaluates the conditions of assets that are refreshed by themselves."""

import dagster as dg

automation = dg.AutomationConditionSensorDefinition(
    name="automation",
    target=dg.AssetSelection.all(),
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Every minute: looks which assets' automation conditions hold, and refreshes "
    "those: funnels hourly where something is new, files of days that were counted alone.",
)
