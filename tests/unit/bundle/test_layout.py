"""Where a run lies, how a new one is made, and what is no run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from bundle import BundleLayout, NotABundle, create_bundle, open_bundle
from bundle.layout import DERIVED_FILES

NOON = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)


def made(folder: Path) -> BundleLayout:
    """Return a new bundle with an empty manifest: enough to be opened."""
    layout = create_bundle(folder, "smoke", now=NOON)
    layout.manifest.touch()
    return layout


def test_new_bundle_is_named_by_time_plan_and_a_short_id(tmp_path: Path) -> None:
    """The name sorts by time, wherever the clock of the machine stands."""
    east = NOON.astimezone(timezone(timedelta(hours=9)))
    for moment in (NOON, east):
        layout = create_bundle(tmp_path / "runs", "smoke", now=moment)
        time, plan, short_id = layout.run_id.split("-")
        assert (time, plan, len(short_id)) == ("20260301T120005Z", "smoke", 6)


def test_new_bundle_has_its_folders_and_no_files(tmp_path: Path) -> None:
    """Writers find the folders; nothing is there that nobody wrote."""
    layout = create_bundle(tmp_path / "deep" / "runs", "smoke")
    assert sorted(path.name for path in layout.root.iterdir()) == ["journals", "logs", "samples"]


def test_two_bundles_of_one_second_are_two(tmp_path: Path) -> None:
    """Two runs that begin together do not write into one folder."""
    assert made(tmp_path).root != made(tmp_path).root


def test_latest_points_at_the_newest(tmp_path: Path) -> None:
    """The link moves with every run, stays valid when the folder is moved, and leaves nothing else behind."""
    runs = tmp_path / "runs"
    first = made(runs)
    assert open_bundle(runs / "latest").root == first.root.resolve()
    second = made(runs)
    assert open_bundle(runs / "latest").run_id == second.run_id
    assert sorted(path.name for path in runs.iterdir()) == sorted([first.run_id, second.run_id, "latest"])
    moved = runs.rename(tmp_path / "moved")
    assert open_bundle(moved / "latest").run_id == second.run_id


def test_every_path_is_inside_the_bundle(tmp_path: Path) -> None:
    """A bundle can be moved or packed as one folder."""
    layout = BundleLayout(root=tmp_path)
    paths = [value for name in dir(layout) if isinstance(value := getattr(layout, name), Path) and name != "root"]
    assert len(paths) >= 12
    assert len(set(paths)) == len(paths)
    assert all(path.is_relative_to(tmp_path) for path in paths)
    derived = {layout.verdict.name, layout.report_html.name, layout.report_markdown.name, layout.junit.name}
    assert derived == DERIVED_FILES


def test_bundle_is_opened_by_any_of_its_names(tmp_path: Path) -> None:
    """A relative or crooked path leads to the same run."""
    layout = made(tmp_path)
    assert open_bundle(layout.root / "logs" / "..") == open_bundle(layout.root)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nothing", "does not exist"),
        ("file", "is a file"),
        ("empty", "has no manifest.json"),
        ("odd", "has no manifest.json"),
        ("dangling", "does not exist"),
        ("loop", "does not exist"),
        ("file/below", "does not exist"),
        ("n" * 300, "cannot be read (File name too long)"),
    ],
)
def test_what_is_no_bundle_is_told(tmp_path: Path, name: str, why: str) -> None:
    """Nothing, a file, a folder without manifest or with a folder in its place, a link to nowhere."""
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "odd" / "manifest.json").mkdir(parents=True)
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(NotABundle) as caught:
        open_bundle(tmp_path / name)
    expected = "expected a run bundle (a folder with a manifest.json)"
    assert str(caught.value) == f"{tmp_path / name}: {why}; {expected}"
