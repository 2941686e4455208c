"""Logging in to a demo with a name of the Hub, on a Space with `hf_oauth: true`.

Gradio brings the addresses (/login/huggingface, /login/callback, /logout) and signs the session, but only for a page that holds
its LoginButton. Ours holds one that is never drawn: the way in is a link at wb/login, as for the password."""

from __future__ import annotations

import importlib.util
import logging
import os
import time
from typing import Any

import gradio as gr

VARIABLES = ("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "OAUTH_SCOPES", "OPENID_PROVIDER_URL")
"""What a Space with `hf_oauth: true` is given."""
PACKAGES = ("authlib", "itsdangerous")
log = logging.getLogger("workbench")


def door() -> gr.LoginButton | None:
    """The button for the page to hold; None where nobody can log in, which is said: the page is served all the same.

    Made outside of the page: inside, it would ask the server at every load whether somebody is logged in, to set its words."""
    if reason := what_is_missing():
        log.warning("WORKBENCH_OWNERS lets nobody in: %s", reason)
        return None
    return gr.LoginButton(visible=False, render=False)


def what_is_missing() -> str:
    """Why the Hub vouches for no names here, in a sentence; empty where it does."""
    if gr.utils.get_space() is None:
        return "this is no Space, and elsewhere Gradio only plays at logging in."
    if absent := [name for name in VARIABLES if not os.environ.get(name)]:
        return f"the Space was not given {absent[0]}; its README needs hf_oauth: true."
    if absent := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        return f"the package {absent[0]} is not installed."
    return ""


def hub_name(request: Any) -> str:
    """The name with which somebody is logged in to the Hub, from the session that Gradio's routes have signed; empty where
    nobody is, or where the Hub vouches for none."""
    inner = getattr(request, "request", None) or request  # gr.Request wraps Starlette's
    session = (getattr(inner, "scope", None) or {}).get("session") or {}
    info = session.get("oauth_info") or {}
    if info.get("expires_at", 0) < time.time() or what_is_missing():
        return ""
    return str((info.get("userinfo") or {}).get("preferred_username") or "")
