"""One attack: mask -> region -> ask -> query -> tell -> checkpoint -> result.

The result depends on the campaign's seed and the attack's key alone. Nothing here looks at other attacks:
queries go out in pieces of ``stop_check_queries``, one after another, and each piece is judged whole, so
that how requests are fused on the wire changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.common.errors import UnavailableError
from pixelprobe_services.common.spec import CampaignImage, CampaignSpec
from pixelprobe_services.common.values import (
    AttackResult,
    ClassScore,
    Ledger,
    MaskArray,
    Outcome,
    Pixels,
    Region,
    attack_seed,
    control_seed,
)
from pixelprobe_services.orchestrator.attacks.journal import Journal
from pixelprobe_services.orchestrator.attacks.masks import MaskError, MaskSource
from pixelprobe_services.orchestrator.core.goal import cost, is_success, not_applicable_reason, scored_class
from pixelprobe_services.orchestrator.core.perturbation import decode, effective, to_edits
from pixelprobe_services.orchestrator.core.region import RegionMap
from pixelprobe_services.orchestrator.core.scoring import GenerationScoring
from pixelprobe_services.orchestrator.core.search.base import Search
from pixelprobe_services.orchestrator.core.search.scene import Scene
from pixelprobe_services.orchestrator.core.trace import Best, Trace
from pixelprobe_services.orchestrator.metrics import OrchestratorMetrics
from pixelprobe_services.orchestrator.query.batcher import Batcher
from pixelprobe_services.orchestrator.query.budget import Budget, BudgetExhaustedError
from pixelprobe_services.orchestrator.query.fusion import Ask
from pixelprobe_services.orchestrator.store.base import AttackRecord, Store, StoredMask
from pixelprobe_services.orchestrator.targets.base import Scores, TargetError
from pixelprobe_services.orchestrator.timing import Timing

FEW_CLASSES = 16
"""Up to so many classes, the clean image's best are asked for along with the goal's: it costs nothing. With
more, a search goes without, and a failed attack's best candidate is asked about once more at its end."""


@dataclass(frozen=True)
class Progress:
    """Where an attack is, after every piece of a generation."""

    generation: int
    best_fitness: float
    ledger: Ledger


class AttackRun:
    """One attack, from claimed to its result. ``mask`` is set once a region needed one."""

    def __init__(
        self,
        record: AttackRecord,
        spec: CampaignSpec,
        *,
        store: Store,
        masks: MaskSource,
        batcher: Batcher,
        on_progress: Callable[[Progress], None],
        metrics: OrchestratorMetrics,
        save_seconds: float = Timing.save,
    ) -> None:
        self.mask: MaskArray | None = None
        self._record = record
        self._spec = spec
        self._store = store
        self._masks = masks
        self._batcher = batcher
        self._on_progress = on_progress
        self._metrics = metrics
        self._target_metrics = metrics.of_target(record.key.target)
        self._goal = record.key.goal
        self._journal = Journal(store, record.id, record.key.pixels, save_seconds)
        self._budget = Budget(spec.budget)
        self._region_area = 0.0

    async def execute(self) -> AttackResult:
        """Run to the end, from the last checkpoint if there is one. Expected failures become outcomes.

        Raises:
            UnavailableError: the target or the segmentation service does not answer. What is known so far is
                kept: :meth:`save` it and run the attack again, or take :meth:`result`.
        """
        self._budget = Budget(self._spec.budget, await self._store.ledger(self._record.id))
        try:
            with self._metrics.spending(self._budget):
                return await self._execute()
        except BudgetExhaustedError as error:
            if self._met:
                return self.result(Outcome.SUCCESS)
            return self.result(Outcome.BUDGET_EXHAUSTED, error.message)
        except UnavailableError:
            raise
        except (TargetError, MaskError) as error:
            return self.result(Outcome.ERROR, error.message)

    def result(self, outcome: Outcome, reason: str = "") -> AttackResult:
        """What was found so far, as a result."""
        trace = self._trace
        best = trace.best
        generations = trace.generations
        if outcome is Outcome.SUCCESS and trace.success_generation is not None:
            # Table IV counts a success in the start population as one generation.
            generations = max(1, trace.success_generation)
        return AttackResult(
            outcome=outcome,
            reason=reason,
            clean_top=trace.clean_top,
            best_top=best.top if best else (),
            best_probability_of_clean_top=best.probability_of_clean_top if best else (),
            edits=best.edits if best else (),
            ledger=replace(self._budget.ledger, skipped=trace.skipped, repeated=trace.repeated),
            generations=generations,
            fitness_by_generation=tuple(trace.fitness_by_generation),
            queries_to_success=trace.queries_to_success,
            region_area_fraction=self._region_area,
            started_over=trace.started_over,
        )

    async def save(self) -> None:
        """Store how far it is, unless that is done already."""
        await self._journal.save()

    async def _execute(self) -> AttackResult:
        image = await self._store.get_image(self._record.key.image_digest)
        region = await self._region(image)
        if isinstance(region, str):
            return self.result(Outcome.NOT_APPLICABLE, region)
        search = await self._journal.resume(self._spec.search, attack_seed(self._spec.seed, self._record.key))
        if not self._trace.clean_top:
            await self._score_clean(image)
        reason = not_applicable_reason(
            self._goal,
            self._clean_class,
            self._image_spec.label,
            self._spec.attack_misclassified,
            self._batcher.info.labels,
        )
        if reason:
            return self.result(Outcome.NOT_APPLICABLE, reason)
        clean_cost = cost(self._goal, np.array([self._trace.clean_probability]))[0]
        search.bind(Scene(image, region, float(clean_cost), targeted=self._goal.target_class is not None))
        while not search.finished:
            if await self._generation(search, image, region):
                return self.result(Outcome.SUCCESS)
        if self._met:
            return self.result(Outcome.SUCCESS)
        await self._look_closer_at_the_best(image)
        return self.result(Outcome.FAILURE, search.conclusion)

    async def _region(self, image: Pixels) -> RegionMap | str:
        """Where edits may land, or why there is nothing to attack."""
        height, width, _ = image.shape
        self.mask = self._image_spec.mask
        wanted = self._record.key.region
        if self.mask is None and wanted is not Region.WHOLE:
            kept = await self._kept_mask(image)
            self.mask = kept.mask
            if kept.review_reason and not self._spec.masks.accept_unreviewed:
                return f"the mask needs review: {kept.review_reason}"
        seed = control_seed(self._spec.seed, self._record.key.image_digest)
        region = RegionMap.from_mask(wanted, self.mask, height, width, seed)
        self._region_area = region.area_fraction
        if region.is_empty:
            return f"the {wanted.value} has no pixels"
        if wanted is not Region.WHOLE and region.allowed.all():
            # Such an attack would count as one on a part of the image although it may change any pixel.
            return f"the {wanted.value} is the whole image"
        return region

    async def _kept_mask(self, image: Pixels) -> StoredMask:
        """The one that the campaign uses for this image: made once, whoever asks and however often."""
        campaign, digest = self._record.id.campaign_id, self._record.key.image_digest
        kept = await self._store.get_mask(campaign, digest)
        if kept is None:
            made = await self._masks.mask_for(image, digest, self._spec.masks)
            kept = await self._store.put_mask(campaign, digest, StoredMask(made.mask, made.review_reason))
        return kept

    async def _score_clean(self, image: Pixels) -> None:
        """Query the image as it is: an edit that paints a pixel in its own colour."""
        red, green, blue = image[0, 0]
        unchanged = np.array([[[0, 0, red, green, blue]]], dtype=np.int16)
        asked = self._goal.target_class
        scores = await self._query(image, unchanged, [0 if asked is None else asked])
        self._trace.clean_top = _top(scores, 0)
        self._trace.clean_probability = float(
            scores.top_probabilities[0, 0] if asked is None else scores.class_probabilities[0, 0]
        )

    async def _look_closer_at_the_best(self, image: Pixels) -> None:
        """Ask once more for the clean image's best classes, where a search does not follow them.

        One query, if the budget has one left; table III needs what failures did to these classes.
        """
        best = self._trace.best
        if best is None or best.probability_of_clean_top or not self._budget.affordable(1):
            return
        edits = np.array([[astuple(edit) for edit in best.edits]], dtype=np.int16)
        scores = await self._query(image, edits, [score.class_index for score in self._trace.clean_top])
        probabilities = tuple(map(float, scores.class_probabilities[0]))
        self._trace.best = replace(best, probability_of_clean_top=probabilities)

    async def _generation(self, search: Search, image: Pixels, region: RegionMap) -> bool:
        """Score one generation and tell the search; True when the goal was met and that ends the attack."""
        height, width, _ = image.shape
        edits = decode(search.ask(), height, width)
        candidates = effective(edits, image, region, self._spec.search.region_mode)
        scoring = GenerationScoring(
            candidates, self._journal.memory, self._trace.clean_probability, self._clean_class
        )
        answered = self._begin(scoring)
        piece = self._spec.search.stop_check_queries if self._spec.search.early_stop else len(edits)
        generation = search.generation + 1
        for start in range(answered, len(scoring.fresh), piece):
            met = await self._piece(scoring, scoring.fresh[start : start + piece], image, generation)
            self._report(generation, scoring)
            if met and self._spec.search.early_stop:
                self._trace.fitness_by_generation.append(self._best_fitness(scoring))
                return True
            await self._journal.save_now_and_then()
        probabilities = scoring.probabilities()
        search.tell(cost(self._goal, probabilities))
        self._trace.fitness_by_generation.append(self._best_fitness(scoring))
        self._trace.generations = search.generation
        self._journal.end_generation(search)
        await self._journal.save_now_and_then()
        return False

    def _begin(self, scoring: GenerationScoring) -> int:
        """Count what need not be sent. Returns how many are answered already: more than 0 after a restart."""
        journal = self._journal
        if not journal.under_way:
            self._trace.skipped += scoring.skipped
            self._trace.repeated += scoring.repeated
            self._target_metrics.skipped.inc(scoring.skipped)
            self._target_metrics.repeated.inc(scoring.repeated)
            journal.begin_generation()
        _, probability, top_class = journal.answered()
        answered = len(probability)
        scoring.record(scoring.fresh[:answered], probability, top_class)
        return answered

    async def _piece(
        self, scoring: GenerationScoring, rows: NDArray[np.intp], image: Pixels, generation: int
    ) -> bool:
        """Score some fresh candidates. Returns whether one of them meets the goal.

        Raises:
            BudgetExhaustedError: the budget ended before the last of them; those before it are recorded.
        """
        affordable = rows[: self._budget.affordable(len(rows))]
        met = False
        if len(affordable):
            classes = self._tracked_classes()
            scores = await self._query(image, scoring.candidates.edits[affordable], classes)
            probability, top_class = scores.class_probabilities[:, 0], scores.top_classes[:, 0]
            scoring.record(affordable, probability, top_class)
            met = self._judge(scoring, affordable, scores, generation)
            self._journal.add(scoring.candidates.edits[affordable], probability, top_class)
        if len(affordable) < len(rows) and not (met and self._spec.search.early_stop):
            raise BudgetExhaustedError(f"all {self._budget.limit} queries of the budget are spent")
        return met

    def _judge(
        self, scoring: GenerationScoring, rows: NDArray[np.intp], scores: Scores, generation: int
    ) -> bool:
        """Offer the best of these candidates to the trace. Returns whether one meets the goal."""
        costs = cost(self._goal, scores.class_probabilities[:, 0])
        success = is_success(self._goal, self._clean_class, scores.top_classes[:, 0])
        place = int(np.lexsort((np.arange(len(rows)), costs, ~success))[0])
        row = rows[place]
        candidate = Best(
            cost=float(costs[place]),
            success=bool(success[place]),
            edits=to_edits(scoring.candidates.edits[row], int(scoring.candidates.counts[row])),
            top=_top(scores, place),
            probability_of_clean_top=tuple(map(float, scores.class_probabilities[place, 1:])),
        )
        self._trace.offer(candidate, generation, self._budget.sent)
        return candidate.success

    async def _query(self, image: Pixels, edits: NDArray[np.int16], classes: list[int]) -> Scores:
        ask = Ask(image, self._record.key.image_digest, edits, np.array(classes, dtype=np.int32))
        return await self._batcher.query(self._record.id, ask, self._budget)

    def _tracked_classes(self) -> list[int]:
        """The scored class, then, where classes are few, the clean image's best."""
        scored = scored_class(self._goal, self._clean_class)
        if self._batcher.info.classes > FEW_CLASSES:
            return [scored]
        return [scored, *(score.class_index for score in self._trace.clean_top)]

    def _best_fitness(self, scoring: GenerationScoring) -> float:
        """The best probability of the scored class so far, generations before included."""
        costs = cost(self._goal, scoring.probabilities())
        best = float(abs(np.nanmin(costs)))
        history = self._trace.fitness_by_generation
        if not history:
            return best
        return min(best, history[-1]) if self._goal.target_class is None else max(best, history[-1])

    def _report(self, generation: int, scoring: GenerationScoring) -> None:
        self._on_progress(Progress(generation, self._best_fitness(scoring), self._budget.ledger))

    @property
    def _trace(self) -> Trace:
        return self._journal.trace

    @property
    def _clean_class(self) -> int:
        return self._trace.clean_top[0].class_index

    @property
    def _met(self) -> bool:
        return self._trace.success_generation is not None

    @property
    def _image_spec(self) -> CampaignImage:
        return self._spec.images[self._record.image_index]


def _top(scores: Scores, row: int) -> tuple[ClassScore, ...]:
    pairs = zip(scores.top_classes[row], scores.top_probabilities[row], strict=True)
    return tuple(ClassScore(int(index), float(probability)) for index, probability in pairs)
