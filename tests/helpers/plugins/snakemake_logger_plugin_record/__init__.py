"""A log handler for Snakemake that writes a line of JSON for every job that it starts."""

import json
import os
from dataclasses import dataclass, field
from logging import LogRecord
from typing import Optional

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    """`--logger-record-path`."""

    path: Optional[str] = field(  # noqa: UP045 (Snakemake makes an option of it)
        default=None, metadata={"help": "File to add the lines to"}
    )


class LogHandler(LogHandlerBase):
    """Rule, wildcards and the process that says so: jobs are Snakemake processes too."""

    writes_to_stream = False
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def emit(self, record: LogRecord) -> None:
        if getattr(record, "event", None) == LogEvent.JOB_INFO:
            job = {
                "process": os.getpid(),
                "rule": record.rule_name,
                "wildcards": dict(record.wildcards or {}),
            }
            with open(self.settings.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(job) + "\n")
