"""
Sessions followed by Restate: one virtual object a session, which is the only one that goes on with its chain of steps.

    pip install restate-sdk hypercorn
    python examples/engines/restate_sessions.py 9080    # HPP_USERNAME, HPP_PASSWORD, HPP_ENDPOINT in the environment

Register ``http://localhost:9080`` with the Restate server once. Then the shop calls ``Session/{id}/follow/send`` at the
server's ingress when it has created a session, and ``Session/{id}/called_back`` for a status callback.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta

import restate
from hypercorn.asyncio import serve
from hypercorn.config import Config
from plain_steps import HOLD, DealWith, take_step

from hpp_async import AnyOutcome, HPPClient, Transition


def sessions(client: HPPClient, deal_with: DealWith, *, hold: float = HOLD) -> restate.VirtualObject:
    """Return the object, whose exclusive handler runs once at a time for one session."""
    session = restate.VirtualObject("Session")

    @session.handler()
    async def follow(ctx: restate.ObjectContext) -> str:
        """Follow the session to its end. A second call waits for the first one, and returns the same ending."""
        ending = await ctx.get("ending", type_hint=str)
        token: str | None = None
        is_called_back = False
        callback: restate.RestateDurableFuture[bool] | None = None
        while ending is None:
            if callback is None:
                callback_id, callback = ctx.awakeable(type_hint=bool)
                ctx.set("callback_id", callback_id)
            step = await ctx.run_typed(
                "step",
                take_step,
                restate.RunOptions(),
                client,
                ctx.key(),
                token,
                deal_with,
                hold=hold,
                is_called_back=is_called_back,
            )
            token, ending, is_called_back = step["token"], step["ending"], False
            if step["resume_in"]:
                timer = ctx.sleep(timedelta(seconds=step["resume_in"]))
                if (await restate.select(timer=timer, callback=callback))[0] == "callback":
                    is_called_back, callback = True, None
        ctx.clear("callback_id")
        ctx.set("ending", ending)
        return ending

    @session.handler(kind="shared")
    async def called_back(ctx: restate.ObjectSharedContext) -> None:
        """Make a read due now, in the step that is under way in this process, and in the next one."""
        client.notify(ctx.key())
        callback_id = await ctx.get("callback_id", type_hint=str)
        if callback_id is not None:  # the session has not ended
            ctx.resolve_awakeable(callback_id, True)

    return session


async def work(client: HPPClient, deal_with: DealWith, *, port: int, hold: float = HOLD) -> None:
    """Serve the object to the Restate server, on this machine."""
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    await serve(restate.app([sessions(client, deal_with, hold=hold)]), config)


async def show(news: Transition | AnyOutcome) -> None:
    """Show the news: here the shop books a payment, so that it can be done twice."""
    print(news, flush=True)


async def main(port: int) -> None:
    async with HPPClient.from_env() as client:
        await work(client, show, port=port)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
