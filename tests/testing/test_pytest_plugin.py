"""The fixtures work in users' suites without configuration, under every plugin, and are closed in the right loop."""

from __future__ import annotations

from typing import Final

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def ini(pytester: pytest.Pytester) -> None:
    """Keep pytest from finding this checkout's configuration: nox puts temporary folders into the checkout."""
    pytester.makeini("[pytest]")


# The suite is one that a user could write. The hook is ours: it checks the client when everything is torn down.
CONFTEST: Final = """
import pytest

@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item):
    client = item.funcargs.get("hpp_client")
    yield
    assert repr(client).endswith(", closed>")
    assert "in flight" not in repr(client)
"""
TESTS: Final = """
import anyio
import pytest
{imports}

from hpp_async import Completed
from hpp_async.testing import Script, opens, pays

{fixture}
async def watched(hpp_client):
    yield hpp_client
    assert "closed" not in repr(hpp_client)  # this fixture is torn down before the client

{mark}
async def test_a_read_is_left_under_way(hpp_provider, hpp_client):
    session = hpp_provider.add()
    await hpp_client.read_session(session)
    hpp_provider.latency = 5
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hpp_client.read_session, session)
        while len(hpp_provider.requests) < 2:
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert "1 in flight" in repr(hpp_client)

{mark}
async def test_two_days_pass(hpp_provider, watched, hpp_client):
    session = hpp_provider.add(Script(opens(after=60), pays(after=160_000)))
    assert watched is hpp_client
    assert isinstance(await hpp_client.wait_for_outcome(session), Completed)
    assert hpp_provider.clock.now() > 160_000
"""
ANYIO: Final = """
@pytest.fixture(scope="module", autouse=True)
async def loop_of_the_module(anyio_backend):
    yield

"""
MODES: Final = {
    "pytest-asyncio-strict": ("strict", "import pytest_asyncio", "@pytest_asyncio.fixture", "@pytest.mark.asyncio", 2),
    # Here and in the next ones, the loop goes on after the first test.
    "pytest-asyncio-session": (
        "strict",
        "import pytest_asyncio",
        "@pytest_asyncio.fixture(loop_scope='session')",
        "@pytest.mark.asyncio(loop_scope='session')",
        2,
    ),
    "pytest-asyncio-auto": ("auto", "", "@pytest.fixture", "", 2),
    "anyio": ("strict", "", ANYIO + "@pytest.fixture", "@pytest.mark.anyio", 4),  # on asyncio and on trio
}


@pytest.mark.parametrize("mode", MODES)
def test_asynchronous_tests_need_no_configuration(pytester: pytest.Pytester, mode: str) -> None:
    asyncio_mode, imports, fixture, mark, count = MODES[mode]
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TESTS.format(imports=imports, fixture=fixture, mark=mark))
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error")

    pytester.runpytest_inprocess(f"--asyncio-mode={asyncio_mode}").assert_outcomes(passed=count)


def test_synchronous_tests_start_the_loop_themselves(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile("""
        import anyio
        import pytest

        from hpp_async.testing import opens, pays

        @pytest.mark.parametrize("backend", ["asyncio", "trio"])
        def test_wait(hpp_provider, hpp_client, backend):
            session = hpp_provider.add([opens(after=60), pays(after=60)])

            async def wait():
                return await hpp_client.wait_for_outcome(session)

            assert anyio.run(wait, backend=backend).status == "COMPLETED"

        def test_nothing(hpp_client):
            pass
    """)

    pytester.runpytest_inprocess("-Werror", "-pno:asyncio").assert_outcomes(passed=3)


def test_the_client_speaks_httpx2_where_a_suite_says_so(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile("""
        import asyncio

        import httpx2
        import pytest

        @pytest.fixture
        def hpp_transport():
            return "httpx2"

        def test_read(hpp_provider, hpp_client):
            session = hpp_provider.add()
            assert asyncio.run(hpp_client.read_session(session)).status == "WAITING"
            assert [type(request) for request in hpp_provider.requests] == [httpx2.Request]
    """)

    pytester.runpytest_inprocess("-Werror", "-pno:asyncio").assert_outcomes(passed=1)


def test_a_loop_that_is_closed_with_reads_under_way_fails_no_test(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST.replace("not in", "in"))
    pytester.makepyfile("""
        import asyncio

        def test_read(hpp_provider, hpp_client):
            session = hpp_provider.add()
            hpp_provider.latency = 60

            async def leave():
                reading = asyncio.ensure_future(hpp_client.read_session(session))
                while not hpp_provider.requests:
                    await asyncio.sleep(0)
                reading.cancel()

            loop = asyncio.new_event_loop()
            loop.run_until_complete(leave())
            loop.close()
    """)

    pytester.runpytest_inprocess("-pno:asyncio").assert_outcomes(passed=1)


def test_fixtures_have_descriptions(pytester: pytest.Pytester) -> None:
    shown = pytester.runpytest_inprocess("--fixtures", "-pno:asyncio")

    shown.stdout.fnmatch_lines(["hpp_provider -- *", "*in memory and in virtual time*", "hpp_client -- *"])
