"""Long lists of children, beside a plain dict."""

from hypothesis import given
from hypothesis import strategies as st

from pvdrivers.xenstore import tree
from pvdrivers.xenstore.permissions import Access, Permission, Permissions
from pvdrivers.xenstore.tree import Node, Tree

ROOT = Permissions((Permission(Access.NONE, 0),))
NAMES = [str(number) for number in range(2 * tree.LONG)]

changes = st.lists(st.tuples(st.sampled_from(NAMES), st.booleans(), st.booleans()), max_size=60)


def leaf(number):
    return Node(b"%d" % number, ROOT, {}, number)


def values(node):
    return {name: below.value for name, below in node.children.items()}


@given(st.integers(0, len(NAMES)), changes)
def test_long_lists_change_and_snapshots_stay(count, wanted):
    plain = Tree(Node(b"", ROOT, {}, 0))
    model, kept = {}, []
    for number, name in enumerate(NAMES[:count]):
        plain.put(f"/{name}", leaf(number))
        model[name] = b"%d" % number
    for number, (name, add, snapshot) in enumerate(wanted, len(NAMES)):
        if snapshot:
            kept.append((plain.snapshot(), dict(model)))
        if add:
            plain.put(f"/{name}", leaf(number))
            model[name] = b"%d" % number
        elif name in model:
            plain.remove(f"/{name}", number)
            del model[name]
        assert len(plain.root.children) == len(model)
    for node, expected in [*kept, (plain.root, model)]:
        assert values(node) == expected


def long_tree(names):
    """One that has been changed since it became long, in a snapshot's view."""
    made = Tree(Node(b"", ROOT, {}, 0))
    for number, name in enumerate(names):
        made.put(f"/{name}", leaf(number))
    made.snapshot()
    made.put(f"/{names[0]}", leaf(0))
    return made


def test_a_snapshot_of_a_long_list_costs_what_is_changed():
    long = long_tree(NAMES)
    before = long.snapshot().children
    long.put("/7", leaf(1))
    after = long.root.children
    shared = sum(a is b for a, b in zip(before._parts, after._parts, strict=True))
    assert shared == tree.PARTS - 1


def test_a_long_list_is_in_the_order_of_names():
    assert list(long_tree(NAMES[::-1]).root.children) == sorted(NAMES)
