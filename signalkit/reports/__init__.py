"""Reports: notebooks executed by papermill, pages without network, an index with the verdict."""

from signalkit.reports.run import report_folder, run
from signalkit.reports.verify import Difference, verify

__all__ = ["Difference", "report_folder", "run", "verify"]
