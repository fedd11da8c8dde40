"""The methods: what each promises, caps, equivariance, and clear errors."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from curation.errors import MixtureError
from curation.mixture import published, run_table
from curation.mixture.boosted_trees import BoostedTrees
from curation.mixture.convex import Convex
from curation.mixture.doremi import DomainWeights, Doremi
from curation.mixture.effective_data import EffectiveDataFit
from curation.mixture.methods import METHODS, method_named
from curation.mixture.mixing_law import MixingLaw, PowerLaw, fit_power_laws
from curation.mixture.natural import Natural
from curation.mixture.olmix import Olmix
from curation.mixture.problem import Problem, problem_of, read_domains
from curation.mixture.regmix import Regmix
from curation.mixture.run_table import RunTable
from curation.mixture.sampling import Sampling, propose
from curation.mixture.search import simulate
from curation.mixture.temperature import Temperature
from curation.mixture.unimax import Unimax, evenly

TOKENS = {"web": 6_000_000, "code": 2_500_000, "books": 1_000_000, "maths": 500_000}
GOOD = EffectiveDataFit(2.0, 0.3, 0.7, np.array([0.05, 0.1, 0.5, 1.0]))
OTHER = EffectiveDataFit(1.5, 0.2, 0.7, np.array([0.5, 0.1, 0.02, 0.01]))


def problem(count: int = 60, **changed) -> Problem:
    natural = np.array(list(TOKENS.values())) / sum(TOKENS.values())
    weights = propose(natural, count, Sampling(minimum=0.001))
    losses = np.stack([GOOD.predict(weights), OTHER.predict(weights)], axis=1)
    table = RunTable("runs.csv", tuple(TOKENS), ("maths", "web"), weights, losses)
    return problem_of(TOKENS, **{"table": table, **changed})


def capped(**changed) -> Problem:
    return problem(token_budget=5_000_000, max_epochs=2.0, **changed)


@pytest.mark.parametrize("name", [m for m in METHODS if m not in ("doremi", "cpt_ratio")])
def test_every_method_gives_a_mixture_below_the_caps_that_its_file_keeps(name: str) -> None:
    from curation.mixture.artefact import from_dict

    given = capped(targets={"maths": 1.0})
    mixture = method_named(name, ["simulated=3000"] if name == "regmix" else []).solve(given)
    weights = np.array(list(mixture.weights.values()))
    assert weights.sum() == pytest.approx(1, abs=1e-9) and (weights <= given.upper + 1e-12).all()
    assert from_dict(json.loads(mixture.to_json())) == mixture and mixture.method == name
    assert all(d.epochs is not None and d.epochs <= 2 + 1e-9 for d in mixture.domains)
    assert (mixture["maths"].capped, mixture["web"].capped) == (abs(weights[3] - 0.2) < 1e-6, False)
    if name in ("convex", "olmix", "regmix", "mixing_law"):
        assert mixture.predicted is not None and mixture.predicted.target == "maths" and mixture.predicted.std is not None
        assert mixture.run_table is not None and mixture.run_table.rows == 60 and mixture["maths"].weight > 0.1


def test_natural_is_natural_and_caps_pass_the_rest_on_in_proportion() -> None:
    assert list(Natural().solve(problem()).weights.values()) == pytest.approx([0.6, 0.25, 0.1, 0.05])
    tight = problem_of({"a": 800, "b": 200}, token_budget=1000, max_epochs=np.array([0.5, 4]))
    assert Natural().solve(tight).weights == pytest.approx({"a": 0.4, "b": 0.6})


def test_temperature_goes_from_natural_to_uniform() -> None:
    weights = [Temperature(power).solve(problem()).weights["web"] for power in (1.0, 0.5, 0.0)]
    assert weights[0] == pytest.approx(0.6) and weights[2] == pytest.approx(0.25) and weights == sorted(weights, reverse=True)
    root = np.sqrt([0.6, 0.25, 0.1, 0.05])
    assert weights[1] == pytest.approx(root[0] / root.sum())


def test_unimax_by_hand() -> None:
    # budget 4.0 in units of 1e6, one epoch: maths .5 and books 1.0 whole, the other two share the rest evenly
    mixture = Unimax().solve(problem(token_budget=4_000_000, max_epochs=1.0))
    assert mixture.weights == pytest.approx({"web": 1.25 / 4, "code": 1.25 / 4, "books": 0.25, "maths": 0.125})
    assert [d.capped for d in mixture.domains] == [False, False, True, True]
    assert evenly(np.ones(4)) == pytest.approx(np.full(4, 0.25))
    with pytest.raises(MixtureError, match="a budget and a limit"):
        Unimax().solve(problem())


def test_convex_finds_the_minimum_of_the_law_it_was_given() -> None:
    given = problem(targets={"maths": 1.0})
    mixture = Convex(pull=0.0, law="effective_data").solve(given)
    best = GOOD.predict(np.array([list(mixture.weights.values())]))[0]
    others = np.random.default_rng(0).dirichlet(np.ones(4), 20_000)
    assert best < GOOD.predict(others).min() + 2e-3
    assert mixture.predicted is not None and mixture.predicted.loss == pytest.approx(best, abs=0.02)


def test_the_pull_leads_from_the_law_to_the_natural_shares() -> None:
    given = problem(targets={"maths": 1.0})
    away = [
        np.abs(np.array(list(Convex(pull=p, law="log_linear").solve(given).weights.values())) - given.natural).sum()
        for p in (0.0, 0.05, 1.0, float("inf"))
    ]
    assert away == sorted(away, reverse=True) and away[-1] < 1e-12 and away[0] > 0.5


def test_targets_share_the_objective() -> None:
    maths, both, web = (Convex(pull=0.01).solve(problem(targets=t)).weights for t in ({"maths": 1}, {}, {"web": 1}))
    assert maths["maths"] > both["maths"] > web["maths"] and maths["web"] < both["web"] < web["web"]


@pytest.mark.parametrize("method", [Convex(), Olmix(), MixingLaw(), Unimax(), Temperature()], ids=lambda m: m.name)
def test_turning_the_domains_turns_the_weights(method) -> None:
    given = capped(targets={"maths": 1.0})
    turn = [2, 0, 3, 1]
    names = tuple(given.domains[i] for i in turn)
    assert given.available is not None
    turned = replace(given, domains=names, natural=given.natural[turn], available=given.available[turn])
    assert method.solve(turned).weights == pytest.approx(method.solve(given).weights, abs=2e-3)


def test_a_domain_cut_in_halves_in_the_runs_keeps_its_total() -> None:
    given = problem(targets={"maths": 1.0})
    table = given.runs
    halves = np.concatenate([table.weights[:, :1] / 2, table.weights[:, :1] / 2, table.weights[:, 1:]], axis=1)
    names = ("web a", "web b", *given.domains[1:])
    cut = Problem(
        names, np.concatenate([given.natural[:1] / 2, given.natural[:1] / 2, given.natural[1:]]),
        table=RunTable("runs", names, table.targets, halves, table.losses), targets={"maths": 1.0},
    )  # fmt: skip
    for method in (Olmix(), Convex(law="effective_data")):
        whole, parts = method.solve(given).weights, method.solve(cut).weights
        assert parts["web a"] + parts["web b"] == pytest.approx(whole["web"], abs=0.02)
        assert parts["web a"] == pytest.approx(parts["web b"], abs=0.005)


def test_doremi_raises_the_domain_that_lags_and_lowers_one_without_excess() -> None:
    state = DomainWeights(np.log(np.full(3, 1 / 3)))
    state.update(np.array([0.5, 0.0, np.nan]))
    assert state.weights[0] > 1 / 3 > state.weights[1] and state.weights[1] == pytest.approx(state.weights[2])
    by_hand = np.exp([0.5, 0, 0]) / np.exp([0.5, 0, 0]).sum() * 0.999 + 0.001 / 3
    assert state.weights == pytest.approx(by_hand)
    state.update(np.array([np.nan, 0.0, -1.0]))  # the last excess of the absent domain counts again, a negative one as none
    again = by_hand * np.exp([0.5, 0, 0])
    again = again / again.sum() * 0.999 + 0.001 / 3
    assert state.weights == pytest.approx(again) and state.mean == pytest.approx((by_hand + again) / 2)


def test_doremi_replays_a_recorded_run() -> None:
    steps = 20
    names = ("a", "b")
    losses = np.stack([np.linspace(4, 3, steps), np.linspace(3, 2, steps)], axis=1)
    extra = {"reference_a": losses[:, 0] - 0.1, "reference_b": losses[:, 1]}
    table = RunTable("proxy", names, names, np.full((steps, 2), 0.5), losses, extra=extra)
    weights = Doremi().solve(Problem(names, np.array([0.5, 0.5]), table=table)).weights
    assert weights["a"] > 0.7 and weights["b"] > 0
    with pytest.raises(MixtureError, match="reference_a"):
        Doremi().solve(Problem(names, np.array([0.5, 0.5]), table=replace(table, extra={})))
    with pytest.raises(MixtureError, match="loss_a too"):
        Doremi().solve(Problem(names, np.array([0.5, 0.5]), table=replace(table, targets=("x", "y"))))


def test_power_laws_recover_one_power_for_all() -> None:
    x = np.array([5.0, 10, 15, 20, 30])
    truths = [PowerLaw(1.5, 3.0, 0.6), PowerLaw(2.0, 5.0, 0.6)]
    found = fit_power_laws(x, np.stack([t.predict(x) for t in truths]))
    for fit, truth in zip(found, truths, strict=True):
        assert fit.power == pytest.approx(0.6, abs=1e-3) and fit.predict(np.array(100.0)) == pytest.approx(
            truth.predict(np.array(100.0)), abs=1e-3
        )
    with pytest.raises(MixtureError, match="at least 3 points"):
        fit_power_laws(x[:2], np.ones((1, 2)))


def test_power_laws_shrug_off_a_spike() -> None:
    x = np.linspace(5, 50, 10)
    truth = PowerLaw(2.0, 4.0, 0.5)
    losses = truth.predict(x)
    losses[4] += 1.0
    assert fit_power_laws(x, losses)[0].predict(np.array(100.0)) == pytest.approx(truth.predict(np.array(100.0)), abs=0.02)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: method_named("magic"), "one of convex, olmix"),
        (lambda: method_named("convex", ["pul=1"]), "field of convex: law, pull"),
        (lambda: method_named("convex", ["pull"]), "field=value"),
        (lambda: method_named("convex", ["pull=-1"]), "0 or more"),
        (lambda: method_named("convex", ["pull=high"]), "numbers where"),
        (lambda: method_named("convex", ["law=cubic"]), "auto, log_linear, effective_data"),
        (lambda: method_named("regmix", ["regressor=forest"]), "one of linear"),
        (lambda: method_named("regmix", ["top=0"]), "top"),
        (lambda: method_named("temperature", ["power=2"]), "0 .uniform. to 1"),
        (lambda: Regmix().solve(problem(20)), "at least 40 runs\n.*20 in runs.csv\n.*20 more"),
        (lambda: Olmix().solve(problem(3)), "at least 6 runs"),
        (lambda: Convex().solve(problem(table=None)), "a run table\n.*none\n.*--runs"),
        (lambda: problem(targets={"law": 1.0}), "one of maths, web"),
        (lambda: problem(targets={"web": -1.0}).target_weights, "weights of the targets"),
        (lambda: problem(token_budget=50_000_000), "50,000,000 tokens\n.*4e.07"),
        (lambda: problem_of({"a": 0, "b": 0}), "at least one token"),
        (lambda: Problem(("a",), np.array([0.5])), "sum of 0.5"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_with_what_to_do(call, says: str) -> None:
    with pytest.raises(MixtureError, match=says):
        call()


def test_a_domain_without_tokens_gets_none() -> None:
    given = problem_of({**TOKENS, "empty": 0}, token_budget=1_000_000)
    for method in (Natural(), Temperature(0.0), Unimax()):
        mixture = method.solve(given)
        assert mixture["empty"].weight == 0 and not mixture["empty"].capped and mixture["empty"].epochs is None


def test_a_run_table_of_other_domains_is_refused() -> None:
    given = problem()
    with pytest.raises(MixtureError, match="unknown domain 'law'"):
        problem_of({**TOKENS, "law": 5}, table=given.table)
    with pytest.raises(MixtureError, match="unknown domain 'maths'.*\n.*the problem"):
        problem_of({k: v for k, v in TOKENS.items() if k != "maths"}, table=given.table)


@pytest.mark.parametrize("form", ["csv", "parquet", "json", "mixture"])
def test_tokens_by_domain_are_read_in_every_form(tmp_path, form: str) -> None:
    import polars as pl

    frame = pl.DataFrame({"domain": list(TOKENS), "tokens": list(TOKENS.values())})
    path = tmp_path / ("domains." + ("json" if form == "mixture" else form))
    if form == "csv":
        frame.write_csv(path)
    elif form == "parquet":
        frame.write_parquet(path)
    elif form == "json":
        path.write_text(json.dumps(TOKENS))
    else:
        Natural().solve(problem()).save(str(path))
    assert read_domains(str(path)) == TOKENS


@pytest.mark.parametrize(
    "text", ["domain,count\na,1\n", "domain,tokens\na,1\na,2\n", "domain,tokens\na,1.5\n", "domain,tokens\na,-1\n"]
)
def test_tables_without_tokens_are_refused(tmp_path, text: str) -> None:
    path = tmp_path / "domains.csv"
    path.write_text(text)
    with pytest.raises(MixtureError, match="domains.csv"):
        read_domains(str(path))


def test_regmix_as_released_gives_pile_cc_0_87_to_0_90(data_folder) -> None:
    folder = data_folder / "regmix-tables"
    if not folder.is_dir():
        pytest.skip("no RegMix tables here")
    tables = run_table.read_folder(folder)
    train, test, target = tables["train_1m"], tables["test_1m"], published.PILE_TARGET
    natural = published.shares_of(train.domains)
    assert natural is not None
    trees = BoostedTrees(stop_on=(test.weights, test.target(target))).fit(train.weights, train.target(target))
    weights = dict(zip(train.domains, simulate(trees.predict, natural, np.ones(17), seed=42), strict=True))
    assert 0.87 <= weights["the_pile_pile_cc"] <= 0.90 and 0.055 <= weights["the_pile_ubuntu_irc"] <= 0.065
