"""A PNG per scenario, where matplotlib is installed."""

from pathlib import Path

from benchmarks.table import Table


def draw(table: Table, place: Path) -> str:
    """Draw the series of a scenario; the file's name, empty where there is nothing to draw or to draw with."""
    if not table.series:
        return ""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return ""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, points in table.series.items():
        axes.plot([x for x, _ in points], [y for _, y in points], label=name, drawstyle="steps-post")
    axes.set_xlabel(table.axes[0])
    axes.set_ylabel(table.axes[1])
    axes.set_title(table.title, fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(place / f"{table.name}.png", dpi=110)
    return f"{table.name}.png"
