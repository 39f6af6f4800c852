"""What every picture must be: whole and readable."""

from matplotlib.backends.backend_agg import FigureCanvasAgg


def assert_readable(figure):
    """No text is cut off, no tick labels collide, no panel is empty."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.canvas.draw()
    box, (width, height) = figure.get_tightbbox(renderer), figure.get_size_inches()
    assert box.x0 >= -0.005 and box.y0 >= -0.005 and box.x1 <= width + 0.005 and box.y1 <= height + 0.005
    for axes in figure.axes:
        assert axes.has_data() or not axes.get_visible()
        for axis, along in ((axes.xaxis, "x"), (axes.yaxis, "y")):
            low, high = sorted(axis.get_view_interval())
            shown = [t for t in axis.get_major_ticks() if t.label1.get_visible() and low <= t.get_loc() <= high]
            boxes = [t.label1.get_window_extent(renderer) for t in shown if t.label1.get_text()]
            edges = sorted((getattr(b, f"{along}0"), getattr(b, f"{along}1")) for b in boxes)
            assert all(end <= start for (_, end), (start, _) in zip(edges, edges[1:])), f"{axes.get_title()}: {edges}"
