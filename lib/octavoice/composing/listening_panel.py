"""The players and buttons of the listening test, in a notebook with a running kernel."""

from ipywidgets import Audio, Button, HBox, Label, Layout, ToggleButtons, VBox

from octavoice.composing.listening import ListeningTest, Sitting
from octavoice.errors import UserError

ANSWERS = (("left is better", "left"), ("right is better", "right"), ("cannot say", "cannot say"))


def panel(test: ListeningTest, sitting: Sitting) -> VBox:
    """One pair after another: two players, three answers to choose among, and a button that goes on.

    An answer can be changed until the button is pressed, and is on the disk when the next pair shows.
    """
    title, players = Label(), HBox()
    answer = ToggleButtons(options=ANSWERS, value=None)
    forward = Button(description="Next pair", button_style="primary", disabled=True)

    def show() -> None:
        answer.value = None
        for player in players.children:
            player.close()
        if sitting.done:
            title.value = f"All {len(sitting.pairs)} pairs are answered: run the next cells."
            players.children = answer.options = ()
            return
        number = len(sitting.choices)
        title.value = f"Pair {number + 1} of {len(sitting.pairs)}: which is better?"
        players.children = [Audio(value=test.sound(clip), format="mpeg", autoplay=False, loop=False,
                                  layout=Layout(width="24em")) for clip in sitting.pairs[number]]

    def go_on(_: Button) -> None:
        if answer.value is None:  # a second click of a double click
            return
        try:
            sitting.choose(answer.value)
        except (UserError, OSError) as error:
            title.value = str(error)
            return
        show()

    answer.observe(lambda change: setattr(forward, "disabled", change.new is None), "value")
    forward.on_click(go_on)
    show()
    return VBox([title, players, answer, forward])
