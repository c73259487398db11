"""What all documents of one language server share: the engine, the settings, the memory of what was proposed."""

import logging
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

from midfill.engine.client import EngineClient
from midfill.server.context import Neighbours
from midfill.server.ignored import Ignored
from midfill.server.reuse import Reuse
from midfill.server.schema_download import SchemaCache
from midfill.server.schema_texts import SchemaTexts
from midfill.server.schemas import Schemas
from midfill.server.settings import Settings
from midfill.server.statistics import Kind, Source, Statistics

log = logging.getLogger(__name__)


class Shared:
    """Made once; `use` follows the settings."""

    def __init__(self, engine: EngineClient, statistics: Statistics, roots: Sequence[Path]) -> None:
        self.engine, self.statistics, self.roots = engine, statistics, roots
        self.reuse = Reuse()
        self.engine_ms: float | None = None
        """What the last fill took in the engine, waiting apart."""
        self.tell: Callable[[str], None] = log.warning
        """Says to the person what is wrong, once."""
        self.inform: Callable[[str], None] = log.info
        """Says to the person what is possible."""
        self.show: Callable[[str, Callable[[], object]], Callable[[], None]] = lambda title, cancel: lambda: None
        """Shows to the person what takes time, with a way to cancel it. What it returns takes that away."""
        self.ids = count(1)
        self.use(Settings())

    def use(self, settings: Settings) -> None:
        """Takes the settings over."""
        self.settings = settings
        self.ignored = Ignored(self.roots, settings.exclude)
        self.neighbours = Neighbours(self.ignored)
        texts = SchemaTexts(self.ignored, SchemaCache(), may_fetch=settings.fetch_schemas)
        self.schemas = Schemas(
            self.roots,
            settings.schemas,
            texts,
            tell=lambda message: self.tell(message),
            inform=lambda message: self.inform(message),
        )

    def count(self, kind: Kind, language: str, source: Source | None = None, latency_ms: float | None = None) -> None:
        """Notes for the statistics, if they are wanted."""
        if self.settings.statistics:
            self.statistics.record(kind, language, source=source, latency_ms=latency_ms)
