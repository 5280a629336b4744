"""The table of names: ours exist in the models, and the documentation has all of them."""

import pytest

from docs.variables import old_names, variables
from scenario.check.variables import roots, tree_of
from scenario.liquid.shapes import Object
from splio.fields import LISTS, TABLES, CustomFieldNames, find_field, list_names


@pytest.mark.parametrize("table", TABLES)
def test_each_name_of_ours_is_a_field_of_a_model(table: str) -> None:
    root, _, inner = TABLES[table].path.partition(".")
    tree = roots(None).known[root] if root != "product" else tree_of(TABLES[table].model)
    for part in filter(None, inner.split(".")):
        assert isinstance(tree, Object)
        tree = tree.fields[part]
    assert tree == tree_of(TABLES[table].model)
    for old, ours in list_names(table):
        found = find_field(table, old, CustomFieldNames())
        assert found is not None, old
        assert found.path == f"{TABLES[table].path}.{ours}"
        at = tree
        for part in ours.split("."):
            assert isinstance(at, Object)
            at = at.fields[part]


@pytest.mark.parametrize("table", TABLES)
def test_an_old_name_that_differs_hides_no_field_of_ours(table: str) -> None:
    known = TABLES[table]
    assert set(known.names) & set(tree_of(known.model).fields) <= set(known.model.second)


def test_loops_go_through_lists_of_products() -> None:
    for root in set(LISTS.values()):
        tree = roots(None).known[root]
        assert isinstance(tree, Object)
        assert "products" in tree.fields


@pytest.mark.parametrize("table", TABLES)
def test_the_documentation_has_each_second_name(table: str) -> None:
    pages = "\n".join((*old_names(), *variables()))
    for other in set(TABLES[table].model.second) - {"product_id"}:
        assert f"`{other}`" in pages or f".{other}`" in pages
