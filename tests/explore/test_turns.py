"""Whose turn it is, and what is said when the time is over."""

from diffexport.explore.settings import Settings
from diffexport.explore.turns import Turn, TurnOrder, examples_before, order_of_use, rounds_done
from diffexport.findings.events import ModeFinished, RoundsDone, Row, RowVerdict
from diffexport.values import Budget, Mode

MODES = [Mode.parse(text) for text in ("dynamo", "dynamo,dynamic=true", "dynamo,opset=25")]


def taken(mode, turn, *, verdict=RowVerdict.AGREES, known=()):
    row = Row("ort-all", verdict, known=dict.fromkeys(known, 1))
    return ModeFinished("case", str(mode), (row,), turns=turn.number + 1)


def sequence(order, count, shows=lambda mode, turn: ()):
    happened = []
    for _ in range(count):
        following = order.next()
        if following is None:
            break
        mode, turn = following
        happened.append((str(mode), turn.number))
        order.take(taken(mode, turn, known=shows(mode, turn)))
    return happened


def test_every_mode_is_looked_at_before_any_has_a_second_turn():
    order = TurnOrder(MODES, Settings(examples=100, budget=Budget(60.0)))
    numbers = [number for _, number in sequence(order, 6)]
    assert numbers == [0, 0, 0, 1, 1, 1]
    assert order.rounds == 0
    order.next()
    assert order.rounds == 1


def test_what_shows_something_new_has_another_turn_in_the_round_and_not_a_third():
    order = TurnOrder(MODES, Settings(examples=10_000, budget=Budget(60.0)))

    def shows(mode, turn):
        return [f"known-{turn.number}"] if mode == MODES[1] and turn.number in (1, 2) else []

    assert sequence(order, 8, shows)[3:] == [
        ("dynamo", 1),
        ("dynamo,dynamic=true", 1),
        ("dynamo,dynamic=true", 2),
        ("dynamo,opset=25", 1),
        ("dynamo", 2),
    ]


def test_a_mode_is_done_when_it_had_its_examples():
    order = TurnOrder(MODES[:1], Settings(examples=8, budget=Budget(60.0)))
    happened = sequence(order, 100)
    drawn = [Turn(number).within(order.settings).examples for _, number in happened if number]
    assert sum(drawn) == 8


def test_turns_go_on_where_nobody_said_how_many_examples():
    order = TurnOrder(MODES[:1], Settings(examples=8, budget=Budget(60.0, goes_on=True)))
    assert len(sequence(order, 50)) == 50


def test_rounds_end_it():
    order = TurnOrder(MODES, Settings(examples=10_000, budget=Budget(None, 2, goes_on=True)))
    assert sequence(order, 100) == [(str(mode), number) for number in (0, 1, 2) for mode in MODES]
    assert order.rounds == 2
    assert list(rounds_done([order])) == [RoundsDone(2)]


def test_who_is_behind_says_how_many_rounds_are_done_and_who_is_finished_holds_nobody_back():
    settings = Settings(examples=3, budget=Budget(60.0))
    finished, ahead, behind = (
        TurnOrder(MODES, settings),
        *(TurnOrder(MODES, Settings(examples=10_000, budget=Budget(60.0))) for _ in range(2)),
    )
    sequence(finished, 100)
    sequence(ahead, 14)
    sequence(behind, 10)
    assert [order.rounds for order in (finished, ahead, behind)] == [1, 3, 2]
    assert list(rounds_done([finished, ahead, behind])) == [RoundsDone(2)]


def test_turns_that_were_taken_before_are_not_taken_again():
    first = TurnOrder(MODES, Settings(examples=100, budget=Budget(60.0)))
    events = []
    for _ in range(5):
        mode, turn = first.next()
        events.append(taken(mode, turn))
        first.take(events[-1])
    resumed = TurnOrder(MODES, Settings(examples=100, budget=Budget(60.0)))
    for event in events:
        resumed.next()
        resumed.take(event)
    assert [resumed.next()[i] for i in (0, 1)] == [first.next()[i] for i in (0, 1)]


def test_what_had_no_turn_is_unreached():
    order = TurnOrder(MODES, Settings(budget=Budget(60.0)))
    sequence(order, 1)
    order.leave_out(str(MODES[1]))
    (event,) = order.unreached("case", ("ort-all",))
    assert (event.mode, event.rows[0].verdict, event.turns) == ("dynamo,opset=25", RowVerdict.UNREACHED, 0)


def test_turns_grow():
    assert [Turn(n).examples for n in (1, 2, 3)] == [3, 6, 12]
    assert examples_before(4) == 21
    assert Turn(1).variety == 1
    assert Turn(9).variety > 100


def test_what_people_use_comes_first():
    texts = [
        "torchscript,opset=9,do_constant_folding=false",
        "dynamo-strict",
        "torchscript",
        "dynamo,dynamic=true",
        "dynamo,optimize=false",
        "dynamo",
    ]
    assert [str(mode) for mode in order_of_use(map(Mode.parse, texts))] == [
        "dynamo",
        "dynamo,dynamic=true",
        "torchscript",
        "dynamo-strict",
        "dynamo,optimize=false",
        "torchscript,opset=9,do_constant_folding=false",
    ]
