"""Proves the sandbox with the vendors' own clients: `openai`, `anthropic`, `firecrawl-py`.

Usage: sandbox_clients.py WEIR, with the path of a built `weir`. Starts `weir sandbox` on a free port, asks it through
the clients, compares what they read with what the sandbox recorded as billed, and prints a line for each thing proved.
Ends with 1 at the first that is not so.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from importlib.metadata import version

# Before the clients are imported: a proxy for the world outside is none for this machine.
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"

import anthropic
import firecrawl
import openai
from firecrawl.v2.utils import error_handler as firecrawl_errors
from pydantic import BaseModel

# Whoever has not printed its addresses by then will not.
START_SECONDS = 30

NO_QUOTA = {
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
}


class Draft(BaseModel):
    subject: str
    body: str


class Sandbox:
    """A running `weir sandbox`, and its record."""

    def __init__(self, weir):
        self.folder = tempfile.TemporaryDirectory()
        self.record = os.path.join(self.folder.name, "calls.ndjson")
        command = [weir, "sandbox", "--listen", "127.0.0.1:0", "--json", "--record", self.record]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        late = threading.Timer(START_SECONDS, self.process.kill)
        late.start()
        self.base_urls = {}
        while not {"openai", "anthropic", "firecrawl"} <= self.base_urls.keys():
            line = self.process.stdout.readline()
            if not line:
                raise SystemExit("the sandbox does not serve openai, anthropic and firecrawl")
            served = json.loads(line)
            self.base_urls[served["provider"]] = served["base_url"]
        late.cancel()

    def root(self):
        return "/".join(self.base_urls["firecrawl"].split("/")[:3])

    def last(self):
        """The newest call, as it was recorded."""
        with open(self.record, encoding="utf-8") as record:
            return json.loads(record.read().splitlines()[-1])

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()


def prove(what, is_so, seen=None):
    if not is_so:
        raise SystemExit(f"FAILED  {what}: {seen}")
    print(f"ok  {what}")


def raised(kind, ask):
    """The error of this kind that `ask` ends in."""
    try:
        answer = ask()
    except kind as error:
        return error
    raise SystemExit(f"FAILED  {kind} was expected, and this came: {answer}")


def document(**lead):
    return json.dumps({"lead": lead, "pages": []})


def code_of(error):
    """The client keeps a code as it came: a text, a number, or nothing."""
    return None if error.code is None else str(error.code)


def prove_openai(sandbox):
    def client(key="key-1234"):
        return openai.OpenAI(api_key=key, base_url=sandbox.base_urls["openai"], max_retries=0)

    def write(lead, key="key-1234", model="gpt-6-luna", **more):
        messages = [{"role": "system", "content": "Write."}, {"role": "user", "content": document(**lead)}]
        asked = {"model": model, "messages": messages, "response_format": Draft, "max_completion_tokens": 400}
        return client(key).chat.completions.parse(**asked | more)

    ada = {"first_name": "Ada", "company": "Acme"}
    listed = [model.id for model in client().models.list()]
    prove("openai: the models are listed", "gpt-6-luna" in listed, listed)

    answer = write(ada, model="sandbox-cached")
    draft, usage, billed = answer.choices[0].message.parsed, answer.usage, sandbox.last()["tokens"]
    is_ours = "Acme" in draft.subject and draft.body.startswith("Hi Ada,")
    prove("openai: a draft is parsed by the client's own schema, and names the lead", is_ours, draft)
    cached, stored = usage.prompt_tokens_details.cached_tokens, usage.prompt_tokens_details.cache_write_tokens
    told = {
        "input": usage.prompt_tokens - cached - stored,
        "cached_input": cached,
        "cache_write": stored,
        "output": usage.completion_tokens,
        "reasoning": usage.completion_tokens_details.reasoning_tokens,
    }
    is_so = told == billed and cached > 0 and stored > 0
    prove("openai: usage is what was billed, kind by kind", is_so, (told, billed))
    prove("openai: the total is their sum", usage.total_tokens == usage.prompt_tokens + usage.completion_tokens, usage)

    refused = write({"domain": "a.refuse.test"}).choices[0].message
    prove("openai: a refusal is read as one", refused.refusal and refused.parsed is None, refused)
    error = raised(openai.LengthFinishReasonError, lambda: write({"domain": "a.truncate.test"}))
    tokens = error.completion.usage.completion_tokens
    prove("openai: a text that was cut off has used its cap", tokens == 400, tokens)
    raised(openai.ContentFilterFinishReasonError, lambda: write({"domain": "a.filtered.test"}))
    prove("openai: a filtered text is read as one, and billed", sandbox.last()["tokens"]["output"] > 0)
    silent = write({"domain": "a.nousage.test"})
    prove("openai: usage may be missing, and tokens are billed", silent.usage is None and sandbox.last()["tokens"])
    plain = write(ada, model="sandbox-plain").usage
    prove("openai: usage may come without details", plain.prompt_tokens > 0 and plain.prompt_tokens_details is None)
    late = client().chat.completions.create(model="sandbox-late", messages=[{"role": "user", "content": document()}])
    prove("openai: an error within status 200 has no choices", not late.choices and late.error["code"] == 502, late)

    for key, kind, codes in [
        ("bad-key", openai.AuthenticationError, {"invalid_api_key"}),
        ("paused", openai.PermissionDeniedError, {"unsupported_country_region_territory"}),
        ("no-credits", openai.RateLimitError, NO_QUOTA),
        ("throttled", openai.RateLimitError, {"rate_limit_exceeded", "slow_down"}),
    ]:
        error = raised(kind, lambda: write(ada, key=key))
        waits = error.response.headers.get("retry-after") == "1"
        is_so = error.code in codes and waits == (key == "throttled")
        prove(f"openai: {key} is a {kind.__name__}", is_so, error)
    for model, kind, code in [
        ("sandbox-missing", openai.NotFoundError, "model_not_found"),
        ("sandbox-window", openai.BadRequestError, "context_length_exceeded"),
        ("sandbox-numeric", openai.InternalServerError, "502"),
        ("sandbox-flat", openai.BadRequestError, "1500"),
        ("sandbox-bare", openai.InternalServerError, None),
    ]:
        error = raised(kind, lambda: write(ada, model=model))
        prove(f"openai: {model} is a {kind.__name__}", code_of(error) == code, (error, error.code))
    error = raised(openai.BadRequestError, lambda: write(ada, extra_body={"max_output_tokens": 9}))
    prove("openai: an unknown parameter is refused by its name", error.param == "max_output_tokens", error)
    prove("openai: refusals bill nothing", "tokens" not in sandbox.last(), sandbox.last())


def prove_anthropic(sandbox):
    def client(key="key-1234"):
        return anthropic.Anthropic(api_key=key, base_url=sandbox.base_urls["anthropic"], max_retries=0)

    def write(lead, key="key-1234", model="claude-haiku-5-5", ask="parse", **more):
        asked = {"model": model, "max_tokens": 400, "system": "Write."}
        asked |= {"messages": [{"role": "user", "content": document(**lead)}]} | more
        messages = client(key).messages
        return messages.parse(output_format=Draft, **asked) if ask == "parse" else messages.create(**asked)

    ada = {"first_name": "Ada", "company": "Acme"}
    answer = write(ada, model="sandbox-cached")
    draft, usage, billed = answer.parsed_output, answer.usage, sandbox.last()["tokens"]
    is_ours = "Acme" in draft.subject and draft.body.startswith("Hi Ada,")
    prove("anthropic: a draft is parsed by the client's own schema, and names the lead", is_ours, draft)
    told = {
        "input": usage.input_tokens,
        "cached_input": usage.cache_read_input_tokens,
        "cache_write": usage.cache_creation_input_tokens,
        "output": usage.output_tokens,
        "reasoning": usage.output_tokens_details.thinking_tokens,
    }
    is_so = told == billed and usage.cache_read_input_tokens > 0 and usage.cache_creation_input_tokens > 0
    prove("anthropic: usage is what was billed, kind by kind", is_so, (told, billed))

    for word, reason in [
        ("refuse", "refusal"),
        ("truncate", "max_tokens"),
        ("window", "model_context_window_exceeded"),
        ("hit", "end_turn"),
    ]:
        answer = write({"email": f"{word}@acme.test"}, ask="create")
        is_so = answer.stop_reason == reason and sandbox.last()["tokens"]["output"] == answer.usage.output_tokens
        prove(f"anthropic: {word} stops with {reason}, and is billed", is_so, answer)
    blocks = {block.type for n in range(20) for block in write({"first_name": f"Ada{n}"}, ask="create").content}
    prove("anthropic: texts come with thinking before them", blocks == {"thinking", "text"}, blocks)

    for key, kinds, names in [
        ("bad-key", (anthropic.AuthenticationError,), {"authentication_error"}),
        ("paused", (anthropic.PermissionDeniedError,), {"permission_error"}),
        ("throttled", (anthropic.RateLimitError,), {"rate_limit_error"}),
        (
            "no-credits",
            (anthropic.PaymentRequiredError, anthropic.BadRequestError, anthropic.RateLimitError),
            {"billing_error", "invalid_request_error", "rate_limit_error"},
        ),
    ]:
        error = raised(kinds, lambda: write(ada, key=key))
        waits = error.response.headers.get("retry-after") == "1"
        is_so = error.body["error"]["type"] in names and waits == (key == "throttled")
        prove(f"anthropic: {key} is a {type(error).__name__}", is_so, error)
    raised(anthropic.NotFoundError, lambda: write(ada, model="sandbox-missing"))
    prove("anthropic: sandbox-missing is a NotFoundError", True)
    raised(anthropic.BadRequestError, lambda: write(ada, extra_body={"max_completion_tokens": 9}))
    prove("anthropic: an unknown field is refused, and nothing billed", "tokens" not in sandbox.last(), sandbox.last())


def prove_firecrawl(sandbox):
    def client(key="key-1234"):
        return firecrawl.Firecrawl(api_key=key, api_url=sandbox.root(), max_retries=1)

    def scrape(host, key="key-1234", **more):
        asked = {"formats": ["markdown"], "only_main_content": True, "timeout": 25_000}
        return client(key).scrape(f"https://{host}/", **asked | more)

    for host, status, credits, told in [
        ("acme.test", 200, "1", 1),
        ("gone.test", 404, "1", 1),
        ("dear.test", 200, "5", 5),
        ("unsaid.test", 200, "1", None),
    ]:
        page = scrape(host)
        seen = (page.metadata.status_code, sandbox.last()["credits"], page.metadata.credits_used)
        is_so = host in page.markdown and seen == (status, credits, told)
        prove(f"firecrawl: {host} is read with status {status}, for {credits} credits", is_so, (seen, page))
    left = client().get_credit_usage().remaining_credits
    prove("firecrawl: the balance is read", left == 10_000, left)

    error = raised(firecrawl_errors.DNSResolutionError, lambda: scrape("nodns.test"))
    is_so = error.status_code == 200 and sandbox.last()["credits"] == "1"
    prove("firecrawl: a host that does not resolve is a DNSResolutionError with status 200, for 1 credit", is_so, error)
    for host, key, kind in [
        ("blocked.test", "key", firecrawl_errors.WebsiteNotSupportedError),
        ("slow.test", "key", firecrawl_errors.RequestTimeoutError),
        ("acme.test", "bad-key", firecrawl_errors.UnauthorizedError),
        ("acme.test", "no-credits", firecrawl_errors.PaymentRequiredError),
        ("acme.test", "throttled", firecrawl_errors.RateLimitError),
    ]:
        error = raised(kind, lambda: scrape(host, key))
        prove(f"firecrawl: {host} with {key} is a {kind.__name__}", sandbox.last()["credits"] == "0", sandbox.last())
    kinds = (firecrawl_errors.InternalServerError, firecrawl_errors.TLSError)
    error = raised(kinds, lambda: scrape("broken.test"))
    prove(f"firecrawl: broken.test is a {type(error).__name__}", error.code.startswith("SCRAPE_"), error)


def main():
    if len(sys.argv) != 2:
        raise SystemExit("usage: sandbox_clients.py WEIR")
    sandbox = Sandbox(sys.argv[1])
    try:
        for package, proof in [
            ("openai", prove_openai),
            ("anthropic", prove_anthropic),
            ("firecrawl-py", prove_firecrawl),
        ]:
            print(f"{package} {version(package)}")
            proof(sandbox)
    finally:
        sandbox.stop()
    print("The sandbox is proved by its vendors' clients.")


if __name__ == "__main__":
    main()
