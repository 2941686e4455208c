"""The page: Home, a tab for each family of engines, the Library; and the one wire to the server."""

from __future__ import annotations

import importlib.util
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.utils import LRUCache
from starlette.middleware import Middleware
from starlette.routing import Route

from engines.contract import FAMILIES, Engine
from ui import api, engine_tab, follow, home, hub_login, serving, theme, twins
from ui.address import Target
from ui.calls import Calls
from ui.guard import Guard
from ui.page import Answer, Page, numbered
from ui.same_site import host_of, known_hosts, outermost
from ui.visitors import House, VisitorCookie
from workbench import heap
from workbench.demo_limits import DemoLimits
from workbench.housekeeping import Housekeeping
from workbench.runs import Workbench

MAX_WAITING = 200
"""Calls of programs that wait for their turn; one more is refused politely."""
MAX_SESSIONS = 256
"""Gradio copies its page for each session, 110 kB, and every call by a program is one that nobody closes. We keep nothing in
them, so the oldest may go early (Gradio itself keeps 10,000: a gigabyte)."""
MAX_CALLS = 1000
"""Gradio remembers each call of a program: for ever that nothing of it is left to send, half a kilobyte, and for the next 2,000
calls where its answer was, four. More than wait at a time are not needed, but for answers that nobody fetched yet."""
SUN = '<svg viewBox="0 0 16 16" aria-hidden="true"><circle cx="8" cy="8" r="5.2" stroke-width="1.4"/><path d="M8 2.8a5.2 5.2 0 0 1 0 10.4z"/></svg>'


def build(workbench: Workbench, house: House | None = None) -> gr.Blocks:
    """The whole page as Blocks; nothing is served and nothing runs yet. Without a house it is one's own."""
    house = house or House.own(workbench)
    page = Page(workbench, house.access)
    door = hub_login.door() if house.login is not None and house.login.has_names else None
    with gr.Blocks(title="Paper Workbench", analytics_enabled=False, fill_width=True) as blocks:
        wire = _wire()
        tabs, inner = _layout(page, workbench, house.is_demo)
        _events(page, house.viewer, blocks, wire, tabs, inner)
        house.access.awaited = lambda: awaited(blocks)
        api.build(workbench, house)
        if door is not None:
            door.render()
    return blocks


def _say(words: str) -> None:
    """Print at once, also into a pipe: whoever started us waits for the address."""
    print(words, flush=True)


def serve(
    workbench: Workbench,
    *,
    host: str = "127.0.0.1",
    port: int | None = 7860,
    share: bool = False,
    limits: DemoLimits | None = None,
    mcp: bool = False,
    announce: Callable[[str], None] = _say,
) -> None:
    """Serve the page until the process is asked to end (Ctrl+C, SIGTERM); says its address once it answers.

    With `port` None the first free one from 7860 on is taken; `share` opens Gradio's tunnel. With `limits` the page
    is a demo for guests; with `mcp` the public endpoints are tools of an MCP server too."""
    # An engine in this process would pay for its large blocks again at each step.
    if workbench.settings.executor not in ("inline", "zerogpu"):
        heap.give_back()
    house = House.own(workbench) if limits is None else House.for_guests(workbench, limits)
    blocks = build(workbench, house)
    workbench.look_around()
    stopping = threading.Event()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda number, stack: stopping.set())
    _, local_url, share_url = launch(
        blocks, workbench, host=host, port=port, share=share, house=house, mcp=mcp
    )
    housekeeping = Housekeeping(house.access)
    housekeeping.start()
    announce(f"Paper Workbench: {share_url or local_url}")
    try:
        stopping.wait()
    except KeyboardInterrupt:
        announce("Stopping. Runs that are under way are marked interrupted.")
    finally:
        housekeeping.close()
        blocks.close(verbose=False)


def launch(
    blocks: gr.Blocks,
    workbench: Workbench,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    share: bool = False,
    house: House | None = None,
    mcp: bool = False,
) -> tuple[Any, str, str | None]:
    """Start serving in a thread: the FastAPI app, the local address, the shared one."""
    house = house or House.own(workbench)
    # After every call Gradio draws up statistics of the last thousands with pandas, which nobody reads here.
    os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000000")
    os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "1")
    blocks.queue(default_concurrency_limit=8, max_size=MAX_WAITING, api_open=False)
    blocks._queue.pending_event_ids_session = LRUCache(MAX_CALLS)
    blocks._queue.pending_messages_per_session = LRUCache(MAX_CALLS)
    known = known_hosts(workbench.settings.origins)
    app, local_url, share_url = blocks.launch(
        server_name=host,
        server_port=port,
        share=share,
        prevent_thread_lock=True,
        # Gradio would ask for its own page before it says that it serves, and end where a busy machine takes three seconds.
        _frontend=False,
        quiet=True,
        show_error=False,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        pwa=False,
        ssr_mode=False,
        mcp_server=mcp,
        favicon_path=str(theme.STATIC / "icon.svg"),
        max_file_size=house.access.max_upload_bytes,
        app_kwargs=_app_options(blocks, workbench, house, known),
        state_session_capacity=MAX_SESSIONS,
        theme=theme.theme(),
        head=theme.head(),
    )
    if share_url:
        known.add(host_of(share_url))
    return app, local_url, share_url


def routes(workbench: Workbench, house: House | None = None) -> list[Route]:
    """Our own addresses under wb/: files, artifacts, uploads, and what the Library exports."""
    house = house or House.own(workbench)
    found = serving.routes(workbench, house) + twins.routes(workbench, house)
    found += follow.routes(Page(workbench, house.access), house)
    if house.login is not None:
        found += house.login.routes()
    if importlib.util.find_spec("ui.library") is not None:
        from ui import library

        found += library.routes(workbench, house)
    return found


def _app_options(blocks: gr.Blocks, workbench: Workbench, house: House, known: set[str]) -> dict[str, Any]:
    """Our routes, nothing for other sites' pages, calls of programs as they should be, and on a demo the cookie that tells
    guests apart and the guard at the door. `known` are the page's own names."""
    info = blocks.get_api_info()["named_endpoints"]
    endpoints = {
        name.strip("/"): [one["parameter_name"] for one in info[name]["parameters"]] for name in info
    }
    at_the_door = [Middleware(Guard), Middleware(VisitorCookie)] if house.is_demo else []
    return {
        "routes": routes(workbench, house),
        "lifespan": outermost(known),
        "middleware": [*at_the_door, Middleware(Calls, endpoints=endpoints)],
    }


def _wire() -> gr.HTML:
    """The line to the server: js asks through its events `act` and `go`, answers come as its value."""
    return gr.HTML(
        html_template="",
        js_on_load="window.wb.mountWire(element, trigger, props, watch, ['act', 'go', 'work']);",
        head=theme.script_tag(),
        apply_default_css=False,
        elem_id="wb-wire",
    )


def _layout(page: Page, workbench: Workbench, demo: bool) -> tuple[gr.Tabs, dict[str, gr.Tabs]]:
    """Brand, notice and tabs; answers the tabs of families and, by family, the tabs of engines."""
    brand = '<a data-wb href="?"><img src="wb/icon.svg" alt="" width="22" height="22"><span>Paper Workbench</span></a>'
    gr.HTML(brand, elem_id="wb-brand", apply_default_css=False, js_on_load=None)
    gr.HTML(
        f'<button type="button" class="wb-icon" title="Light or dark" aria-label="Switch between light and dark">{SUN}</button>',
        elem_id="wb-scheme",
        js_on_load="window.wb.mountScheme(element);",
        head=theme.script_tag(),
        apply_default_css=False,
    )
    gr.HTML(
        '<div id="wb-page-notice" class="wb-notice" role="alert" hidden></div>',
        elem_id="wb-page-notice-place",
        apply_default_css=False,
        js_on_load=None,
    )
    inner: dict[str, gr.Tabs] = {}
    with gr.Tabs(elem_id="wb-tabs", overflow_behavior="wrap") as tabs:
        with gr.Tab("Home", id="home"):
            gr.HTML(
                home.markup(workbench, for_guests=demo),
                elem_id="wb-home",
                js_on_load="window.wb.mountHome(element);",
                head=theme.script_tag(),
                apply_default_css=False,
            )
        for family, engines in workbench.catalog.by_family().items():
            with gr.Tab(FAMILIES[family], id=family):
                inner[family] = _family(page, engines, demo)
        if importlib.util.find_spec("ui.library") is not None:
            from ui import library

            with gr.Tab("Library", id="library"):
                gr.HTML(
                    '<div data-place="?view=library" class="wb-off">Library</div>',
                    js_on_load="window.wb.observePlace(element.firstElementChild);",
                    head=theme.script_tag(),
                    apply_default_css=False,
                )
                library.build(workbench)
    return tabs, inner


def _family(page: Page, engines: list[Engine], demo: bool) -> gr.Tabs:
    with gr.Tabs(elem_classes="wb-engines", overflow_behavior="wrap") as tabs:
        for engine in engines:
            with gr.Tab(engine.paper.short, id=engine.key):
                engine_tab.build(engine, page.view(engine.key), demo=demo)
    return tabs


def _events(
    page: Page,
    owner_of: Callable[[Any], str],
    blocks: gr.Blocks,
    wire: gr.HTML,
    tabs: gr.Tabs,
    inner: dict[str, gr.Tabs],
) -> None:
    """Private events: what the reader does, addresses, the first address (and where runs need one, a request to run in)."""
    private: dict[str, Any] = {
        "api_visibility": "private",
        "show_progress": "hidden",
        "queue": False,
        "trigger_mode": "multiple",
    }

    def act(event: gr.EventData, request: gr.Request) -> dict[str, Any]:
        asked = event._data
        answer = page.act(asked, owner_of(request))
        return numbered(answer, _id(asked))

    def go(event: gr.EventData, request: gr.Request) -> list[Any]:
        asked = event._data
        answer = page.go(str(asked.get("search") or ""), owner_of(request))
        return [numbered(answer, _id(asked)), *_places(answer, workbench_family(page), inner)]

    def arrive(search: Any, request: gr.Request) -> list[Any]:
        answer = page.go(search if isinstance(search, str) else "", owner_of(request))
        if answer.place is None or answer.place.kind == "home":
            answer.messages += page.act({"do": "home"}, owner_of(request)).messages
        answer.messages.append({"kind": "arrived"})
        return [numbered(answer), *_places(answer, workbench_family(page), inner)]

    def work(event: gr.EventData, request: gr.Request) -> None:
        with api.clear_errors():
            page.work(str(event._data.get("run")), owner_of(request))

    places = [tabs, *inner.values()]
    wire.act(act, None, wire, **private)
    wire.go(go, None, [wire, *places], **private)
    if page.works_in_requests:
        wire.work(work, None, None, **{**private, "queue": True}, concurrency_limit=4)
    blocks.load(arrive, wire, [wire, *places], js="() => [window.location.search]", **private)


def awaited(blocks: gr.Blocks) -> set[str]:
    """The runs that requests wait to execute, or are executing (the event `work`). Gradio drops a request from its queue
    when its page leaves."""
    queue = blocks._queue
    events = [
        event for one in list(queue.event_queue_per_concurrency_id.values()) for event in list(one.queue)
    ]
    events += [event for job in list(queue.active_jobs) for event in job or ()]
    asked = [event.data.event_data for event in events if event.data is not None]
    return {str(one["run"]) for one in asked if isinstance(one, dict) and "run" in one}


def workbench_family(page: Page) -> dict[str, str]:
    """The family of each engine."""
    return {key: engine.paper.family for key, engine in page.workbench.catalog.engines.items()}


def _id(asked: Any) -> int:
    found = asked.get("id") if isinstance(asked, dict) else None
    return found if isinstance(found, int) else 0


def _places(answer: Answer, families: dict[str, str], inner: dict[str, gr.Tabs]) -> list[Any]:
    """Which tab of families is selected, and which engine in each family."""
    place: Target | None = answer.place
    if place is None:
        return [gr.skip()] * (1 + len(inner))
    if place.kind != "engine":
        return [gr.Tabs(selected=place.kind), *[gr.skip()] * len(inner)]
    family = families[place.engine]
    chosen = [gr.Tabs(selected=place.engine) if name == family else gr.skip() for name in inner]
    return [gr.Tabs(selected=family), *chosen]
