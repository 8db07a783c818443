"""One attack: region -> candidates -> queries -> answers to the search -> checkpoint -> result.

The result depends on the campaign's seed and the attack's key alone. Nothing here looks at other attacks:
queries go out in pieces of ``stop_check_queries``, one after another, and each piece is judged whole, so
that how requests are fused on the wire changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.common.errors import UnavailableError
from pixelprobe_services.common.spec import CampaignImage, CampaignSpec
from pixelprobe_services.common.values import (
    AttackResult,
    Ledger,
    MaskArray,
    Outcome,
    attack_seed,
)
from pixelprobe_services.orchestrator.attacks.journal import Journal
from pixelprobe_services.orchestrator.attacks.masks import MaskError, MaskSource
from pixelprobe_services.orchestrator.attacks.questions import Questions, top_of
from pixelprobe_services.orchestrator.attacks.regions import region_of
from pixelprobe_services.orchestrator.core.goal import cost, is_success, not_applicable_reason
from pixelprobe_services.orchestrator.core.perturbation import decode, effective, to_edits
from pixelprobe_services.orchestrator.core.region import RegionMap
from pixelprobe_services.orchestrator.core.scoring import GenerationScoring
from pixelprobe_services.orchestrator.core.search.base import Search
from pixelprobe_services.orchestrator.core.search.scene import Scene
from pixelprobe_services.orchestrator.core.trace import Best, Trace
from pixelprobe_services.orchestrator.metrics import OrchestratorMetrics
from pixelprobe_services.orchestrator.query.batcher import Batcher
from pixelprobe_services.orchestrator.query.budget import Budget, BudgetExhaustedError
from pixelprobe_services.orchestrator.query.delivery import knobs
from pixelprobe_services.orchestrator.store.base import AttackRecord, Store
from pixelprobe_services.orchestrator.targets.base import Scores, TargetError
from pixelprobe_services.orchestrator.timing import Timing

REPEATS = 3
"""How often a target that is not known to be deterministic is asked about the clean image, and about each
success again, where the campaign does not say."""


@dataclass(frozen=True)
class Progress:
    """Where an attack is, after every piece of a generation and whenever queries were not answered.

    ``waiting_for`` says what the target is waited for; it is empty after an answer.
    """

    generation: int
    best_fitness: float
    ledger: Ledger
    waiting_for: str = ""


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
        default = 1 if batcher.info.deterministic else REPEATS
        self._repeats = default if spec.repeats is None else spec.repeats

    async def execute(self) -> AttackResult:
        """Run to the end, from the last checkpoint if there is one. Expected failures become outcomes.

        Raises:
            UnavailableError: the target or the segmentation service does not answer. What is known so far is
                kept: :meth:`save` it and run the attack again, or take :meth:`result`.
        """
        self._budget = Budget(self._spec.budget, await self._store.ledger(self._record.id))
        self._budget.on_trouble = self._report_trouble
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
        """What was found so far, as a result; see :func:`verdict` for what a failure needs."""
        found = self._trace.result(
            outcome,
            reason,
            self._budget.ledger,
            region_area=self._region_area,
            knobs=knobs(self._batcher.info),
        )
        return replace(found, answers=self._batcher.info.answers)

    async def save(self) -> None:
        """Store how far it is, unless that is done already."""
        await self._journal.save()

    async def _execute(self) -> AttackResult:
        image = await self._store.get_image(self._record.key.image_digest)
        found = await region_of(self._record, self._spec, image, self._store, self._masks)
        self.mask, self._region_area = found.mask, found.area_fraction
        if found.region is None:
            return self.result(Outcome.NOT_APPLICABLE, found.reason)
        questions = Questions(self._record, image, self._batcher, self._budget, self._repeats)
        search = await self._journal.resume(self._spec.search, attack_seed(self._spec.seed, self._record.key))
        if not self._trace.clean_top:
            await self._score_clean(questions)
        reason = self._unsteady_reason() or not_applicable_reason(
            self._goal,
            self._clean_class,
            self._image_spec.label,
            self._spec.attack_misclassified,
            self._batcher.info.labels,
        )
        if reason:
            return self.result(Outcome.NOT_APPLICABLE, reason)
        clean_cost = cost(self._goal, np.array([self._trace.clean_probability]))[0]
        targeted = self._goal.target_class is not None
        search.bind(Scene(image, found.region, float(clean_cost), targeted=targeted))
        while not search.finished:
            if await self._generation(search, questions, found.region):
                return self.result(Outcome.SUCCESS)
        if self._met:
            return self.result(Outcome.SUCCESS)
        await self._complete_best(questions)
        return self.result(Outcome.FAILURE, search.conclusion)

    async def _score_clean(self, questions: Questions) -> None:
        answer = await questions.clean()
        self._trace.clean_top = answer.top
        self._trace.clean_probability = answer.probability
        self._trace.clean_held = answer.held
        self._trace.watch.start(answer.classes, answer.probabilities)

    def _unsteady_reason(self) -> str | None:
        """Why no success could be believed: the clean image's own class changes."""
        held = self._trace.clean_held
        if held is None or held.held == held.asked:
            return None
        return (
            f"the target's answers change by themselves: the unchanged image kept its class in only"
            f" {held.held} of {held.asked} queries"
        )

    async def _complete_best(self, questions: Questions) -> None:
        """Ask once more for the clean image's best classes, where a search does not follow them.

        Table III needs what failures did to these classes.
        """
        best = self._trace.best
        if best is not None and not best.probability_of_clean_top:
            found = await questions.probabilities_of(best.edits, self._trace.clean_top)
            self._trace.best = replace(best, probability_of_clean_top=found)

    async def _generation(self, search: Search, questions: Questions, region: RegionMap) -> bool:
        """Score one generation and advance the search; True when it met the goal and that ends the attack."""
        height, width, _ = questions.image.shape
        edits = decode(search.ask(), height, width)
        candidates = effective(edits, questions.image, region, self._spec.search.region_mode)
        scoring = GenerationScoring(
            candidates, self._journal.memory, self._trace.clean_probability, self._clean_class
        )
        answered = self._begin(scoring)
        piece = self._spec.search.stop_check_queries if self._spec.search.early_stop else len(edits)
        generation = search.generation + 1
        for start in range(answered, len(scoring.fresh), piece):
            met = await self._piece(scoring, scoring.fresh[start : start + piece], questions, generation)
            self._on_progress(Progress(generation, self._best_fitness(scoring), self._budget.ledger))
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
        self, scoring: GenerationScoring, rows: NDArray[np.intp], questions: Questions, generation: int
    ) -> bool:
        """Score some fresh candidates. Returns whether one of them meets the goal.

        Raises:
            BudgetExhaustedError: the budget ended before the last of them; those before it are recorded.
        """
        affordable = rows[: self._budget.affordable(len(rows))]
        met = False
        if len(affordable):
            edits, before = scoring.candidates.edits[affordable], self._budget.sent
            try:
                scores = await questions.candidates(edits, self._trace.clean_top)
            except BudgetExhaustedError as error:  # retries have used it up
                if error.answered is None:
                    raise
                scores = error.answered
                affordable = affordable[: len(scores.top_classes)]
            probability, top_class = scores.class_probabilities[:, 0], scores.top_classes[:, 0]
            scoring.record(affordable, probability, top_class)
            self._trace.watch.see(scores.top_classes, scores.top_probabilities)
            met = await self._judge(scoring, affordable, scores, questions, generation, before)
            self._journal.add(scoring.candidates.edits[affordable], probability, top_class)
        if len(affordable) < len(rows) and not (met and self._spec.search.early_stop):
            raise BudgetExhaustedError(f"all {self._budget.limit} queries of the budget are spent")
        return met

    async def _judge(
        self,
        scoring: GenerationScoring,
        rows: NDArray[np.intp],
        scores: Scores,
        questions: Questions,
        generation: int,
        before: int,
    ) -> bool:
        """Offer the best of these candidates to the trace; ``before`` them so many queries were sent.

        Returns whether one meets the goal.
        """
        costs = cost(self._goal, scores.class_probabilities[:, 0])
        success = is_success(self._goal, self._clean_class, scores.top_classes[:, 0])
        sent = self._budget.sent
        for place in np.lexsort((np.arange(len(rows)), costs, ~success)):
            row = rows[place]
            candidate = Best(
                cost=float(costs[place]),
                success=bool(success[place]),
                edits=to_edits(scoring.candidates.edits[row], int(scoring.candidates.counts[row])),
                top=top_of(scores, place),
                probability_of_clean_top=tuple(map(float, scores.class_probabilities[place, 1:])),
            )
            if candidate.success and questions.repeats > 1 and self._trace.beats(candidate):
                held = await questions.again(scoring.candidates.edits[row], self._clean_class)
                candidate = replace(candidate, success=held.held == held.asked > 0, held=held)
                if not candidate.success:
                    self._trace.unheld += 1
                    if held.asked:
                        continue
            first = int(place) if questions.repeats > 1 else int(success.argmax())  # one that held
            self._trace.offer(candidate, generation, sent, before + first + 1)
            return candidate.success
        return False

    def _best_fitness(self, scoring: GenerationScoring) -> float:
        """The best probability of the scored class so far, generations before included."""
        costs = cost(self._goal, scoring.probabilities())
        best = float(abs(np.nanmin(costs)))
        history = self._trace.fitness_by_generation
        if not history:
            return best
        return min(best, history[-1]) if self._goal.target_class is None else max(best, history[-1])

    def _report_trouble(self, waiting_for: str) -> None:
        """Show at once that queries were not answered, and what is waited for."""
        history = self._trace.fitness_by_generation
        fitness = history[-1] if history else self._trace.clean_probability
        self._on_progress(
            Progress(self._trace.generations, fitness, self._budget.ledger, waiting_for=waiting_for)
        )

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
