"""Between the segmentation stubs and the domain; every field is checked here, and errors name its path."""

from __future__ import annotations

from pixelprobe_api.segmentation.v1 import segmentation_service_pb2 as pb
from pixelprobe_services.common.errors import InvalidArgumentError
from pixelprobe_services.common.images import mask_from_array
from pixelprobe_services.common.masks import (
    MAX_ITERATIONS,
    MAX_POINTS,
    MAX_STROKE_WIDTH,
    MAX_STROKES,
    GrabCutOptions,
    Options,
    Rectangle,
    SalientOptions,
    Stroke,
)
from pixelprobe_services.segmentation.base import Segmentation
from pixelprobe_services.segmentation.registry import Listing


def to_options(request: pb.SegmentRequest, width: int, height: int) -> Options | None:
    """The request's options for an image of ``width`` x ``height``; None when it has none.

    Raises:
        InvalidArgumentError: a value is out of its range, or lies outside the image.
    """
    kind = request.WhichOneof("options")
    if kind == "grabcut":
        return _grabcut(request.grabcut, width, height)
    if kind == "salient":
        return _salient(request.salient)
    return None


def to_segment_response(found: Segmentation) -> pb.SegmentResponse:
    """Return a segmentation as the RPC's answer."""
    return pb.SegmentResponse(
        mask=mask_from_array(found.mask),
        area_fraction=found.area_fraction,
        needs_review=found.needs_review,
        review_reason=found.review_reason,
        segmenter=found.segmenter,
        choice_reason=found.choice_reason,
        saliency=b"" if found.saliency is None else found.saliency.tobytes(),
    )


def to_list_response(listings: list[Listing]) -> pb.ListSegmentersResponse:
    """Return segmenters as the RPC's answer, in their order."""
    return pb.ListSegmentersResponse(
        segmenters=[
            pb.Segmenter(
                id=each.id,
                description=each.description,
                available=not each.unavailable_reason,
                unavailable_reason=each.unavailable_reason,
                interactive=each.interactive,
            )
            for each in listings
        ]
    )


def _grabcut(options: pb.GrabCutOptions, width: int, height: int) -> GrabCutOptions:
    if options.iterations > MAX_ITERATIONS:
        raise InvalidArgumentError(
            "grabcut.iterations", f"{options.iterations} is not in 1 to {MAX_ITERATIONS} (0 is the default)"
        )
    if len(options.strokes) > MAX_STROKES:
        raise InvalidArgumentError(
            "grabcut.strokes", f"{len(options.strokes)} strokes are more than {MAX_STROKES}"
        )
    points = sum(len(stroke.points) for stroke in options.strokes)
    if points > MAX_POINTS:
        raise InvalidArgumentError("grabcut.strokes", f"{points} points are more than {MAX_POINTS}")
    return GrabCutOptions(
        rectangle=_rectangle(options.rectangle, width, height) if options.HasField("rectangle") else None,
        strokes=tuple(
            _stroke(stroke, f"grabcut.strokes[{number}]", width, height)
            for number, stroke in enumerate(options.strokes)
        ),
        iterations=options.iterations or GrabCutOptions.iterations,
    )


def _rectangle(rectangle: pb.Rectangle, width: int, height: int) -> Rectangle:
    for low, high, limit in (("left", "right", width), ("top", "bottom", height)):
        first, last = getattr(rectangle, low), getattr(rectangle, high)
        if not 0 <= first < limit:
            raise InvalidArgumentError(f"grabcut.rectangle.{low}", f"{first} is not in 0 to {limit - 1}")
        if not first < last <= limit:
            raise InvalidArgumentError(
                f"grabcut.rectangle.{high}",
                f"{last} is not in {first + 1} to {limit} ({low} is {first})",
            )
    return Rectangle(rectangle.left, rectangle.top, rectangle.right, rectangle.bottom)


def _stroke(stroke: pb.Stroke, field: str, width: int, height: int) -> Stroke:
    if stroke.kind not in (pb.STROKE_KIND_FOREGROUND, pb.STROKE_KIND_BACKGROUND):
        raise InvalidArgumentError(
            f"{field}.kind", "must be STROKE_KIND_FOREGROUND or STROKE_KIND_BACKGROUND"
        )
    if stroke.width > MAX_STROKE_WIDTH:
        raise InvalidArgumentError(
            f"{field}.width", f"{stroke.width} is not in 1 to {MAX_STROKE_WIDTH} (0 is the default)"
        )
    if not stroke.points:
        raise InvalidArgumentError(f"{field}.points", "a stroke needs at least one point")
    for number, point in enumerate(stroke.points):
        for axis, value, limit in (("x", point.x, width), ("y", point.y, height)):
            if not 0 <= value < limit:
                raise InvalidArgumentError(
                    f"{field}.points[{number}].{axis}", f"{value} is not in 0 to {limit - 1}"
                )
    return Stroke(
        foreground=stroke.kind == pb.STROKE_KIND_FOREGROUND,
        points=tuple((point.x, point.y) for point in stroke.points),
        width=stroke.width or Stroke.width,
    )


def _salient(options: pb.SalientOptions) -> SalientOptions:
    if options.threshold == 0.0:
        return SalientOptions()
    # Written so that NaN is refused too.
    if not 0.0 < options.threshold < 1.0:
        raise InvalidArgumentError(
            "salient.threshold", f"{options.threshold:g} is not in (0, 1) (0 is the default)"
        )
    return SalientOptions(options.threshold)
