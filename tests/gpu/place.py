"""What the steps work with: programs, models, device, and the folders they may write to."""

import dataclasses
import json
import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
# How a server is started and asked, and for what, is known there already.
sys.path[:0] = [str(REPOSITORY / "tests/chaos"), str(REPOSITORY / "tests/bench")]


@dataclasses.dataclass
class Place:
    device: str
    """cuda or cpu."""
    koemasu: str
    tests: str
    """The executable of `session`'s tests for a GPU."""
    models: str
    """Folder with micro/ and real-size/; empty if there is none."""
    work: str
    out: str
    short: bool
    environment: dict

    def save(self, path):
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1))

    @staticmethod
    def load(path):
        place = Place(**json.loads(pathlib.Path(path).read_text()))
        os.environ.update(place.environment)
        return place

    @property
    def real(self):
        """Folder of the real-size voices and BERT, with their weights."""
        return pathlib.Path(self.work) / "real"

    def has_real(self):
        return bool(self.models) and not self.short

    def folder(self, name):
        folder = pathlib.Path(self.work) / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def tell(self, name, value):
        """The step's figures, for whoever reads them by program."""
        (pathlib.Path(self.out) / f"{name}.json").write_text(json.dumps(value, indent=1, ensure_ascii=False))
