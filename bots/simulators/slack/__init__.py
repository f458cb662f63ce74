"""A Slack that runs on one local port: Web API, Socket Mode, Events API and a driving side.

It knows Slack's documented behaviour and nothing of the bot under test.
"""

from bots.simulators.slack.clock import Instant
from bots.simulators.slack.delivery import Delivery
from bots.simulators.slack.errors import ApiError
from bots.simulators.slack.interactions import Interaction
from bots.simulators.slack.messages import SlackMessage
from bots.simulators.slack.options import ALL_SCOPES, SlackChannel, SlackOptions, SlackUser
from bots.simulators.slack.serve import run_slack
from bots.simulators.slack.simulator import SlackSimulator
from bots.simulators.slack.web import Call
from bots.simulators.slack.workspace import Ephemeral, HostedFile, Session, Status

__all__ = [
    "ALL_SCOPES",
    "ApiError",
    "Call",
    "Delivery",
    "Ephemeral",
    "HostedFile",
    "Instant",
    "Interaction",
    "Session",
    "SlackChannel",
    "SlackMessage",
    "SlackOptions",
    "SlackSimulator",
    "SlackUser",
    "Status",
    "run_slack",
]
