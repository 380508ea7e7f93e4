//! Firecrawl: scrape a page, balance. Facts: `verifiers-scrape-models.md` §4.

use crate::sandbox::Vendor;
use crate::sandbox::answer::Answer;
use crate::sandbox::answer::Credits;
use crate::sandbox::answer::Purpose;
use crate::sandbox::call::Call;
use crate::sandbox::call::Trouble;
use crate::sandbox::hash::Hash;
use crate::sandbox::page;
use crate::sandbox::world::World;
use crate::sandbox::world::labels;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

const KIND: &str = "firecrawl";

/// Every field of `POST /scrape`; any other is refused.
const FIELDS: &[&str] = &[
    "url",
    "formats",
    "onlyMainContent",
    "includeTags",
    "excludeTags",
    "headers",
    "timeout",
    "waitFor",
    "maxAge",
    "minAge",
    "proxy",
    "parsers",
    "mobile",
    "blockAds",
    "fastMode",
    "useMock",
    "skipTlsVerification",
    "removeBase64Images",
    "storeInCache",
    "location",
    "actions",
    "profile",
    "lockdown",
    "zeroDataRetention",
    "checkPromptInjection",
    "redactPII",
    "threatProtection",
    "auditMetadata",
    "domainTools",
    "toolDetail",
    "integration",
    "origin",
];

/// Of these, only markdown is simulated; what else is asked for is left out of the answer.
const FORMATS: &[&str] =
    &["markdown", "summary", "html", "rawHtml", "links", "images", "screenshot", "json", "changeTracking", "branding"];

const DEFAULT_TIMEOUT_MS: u64 = 60_000;

/// About four million characters: more than a client should read.
const LONG_PAGES_OF_A_HUGE_ONE: usize = 64;

pub(super) struct Firecrawl;

/// A page that is asked for.
struct Request {
    url: String,
    /// In lower case.
    host: String,
    wants_markdown: bool,
}

/// What is wrong with a request.
struct Complaint {
    code: &'static str,
    field: &'static str,
    message: String,
}

/// An outcome forced by the host; the table is in the room's doc.
#[derive(Clone, Copy)]
enum Scene {
    NoDns,
    Gone,
    Blocked,
    Slow,
    Broken,
    Dear,
    Unsaid,
    Empty,
    Long,
    Huge,
    Arrays,
    Hostile,
}

impl Vendor for Firecrawl {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn base_path(&self) -> &'static str {
        "/firecrawl/v2"
    }

    /// The vendor's Python client puts its paths right behind the host.
    fn clients_path(&self) -> Option<&'static str> {
        Some("/v2")
    }

    fn key(&self, call: &Call<'_>) -> String {
        call.bearer().to_owned()
    }

    fn answer(&self, call: &Call<'_>, world: &World) -> Answer {
        match call.route() {
            ("POST", "scrape") => scrape(call, world),
            ("GET", "team/credit-usage") => balance(call),
            _ => Answer::page(Purpose::Nothing, 404),
        }
    }
}

fn scrape(call: &Call<'_>, world: &World) -> Answer {
    let request = read(call);
    let question = request.as_ref().map_or(Hash::new(0), |page| world.question(KIND, "scrape").text(&page.url));
    if let Some(trouble) = call.trouble {
        return refuse(trouble, Purpose::Scrape, question);
    }
    match request {
        Ok(request) => request.answer(question).to(question),
        Err(complaint) => complaint.answer(),
    }
}

fn read(call: &Call<'_>) -> Result<Request, Complaint> {
    let fields = call.json::<Map<String, Value>>().ok_or_else(|| Complaint {
        code: "BAD_REQUEST_INVALID_JSON",
        field: "",
        message: "Bad request, malformed JSON".to_owned(),
    })?;
    let complain = |field, message: &str| Complaint { code: "BAD_REQUEST", field, message: message.to_owned() };
    if let Some(unknown) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        return Err(complain("", &format!("Unrecognized key in body: '{unknown}'")));
    }
    let url = fields.get("url").and_then(Value::as_str).unwrap_or_default();
    let host = host_of(url).ok_or_else(|| complain("url", "Invalid URL"))?;
    let number = |name: &str, usual| fields.get(name).map_or(Some(usual), Value::as_u64);
    let timeout = number("timeout", DEFAULT_TIMEOUT_MS).filter(|ms| (1_000..=300_000).contains(ms));
    let timeout = timeout.ok_or_else(|| complain("timeout", "Timeout must be from 1000 to 300000"))?;
    if number("waitFor", 0).is_none_or(|ms| ms > timeout / 2) {
        return Err(complain("waitFor", "waitFor must not exceed half of timeout"));
    }
    if fields.get("onlyMainContent").is_some_and(|it| !it.is_boolean()) {
        return Err(complain("onlyMainContent", "Expected boolean"));
    }
    let wants_markdown = match fields.get("formats") {
        None => true,
        Some(formats) => has_markdown(formats).ok_or_else(|| complain("formats", "Invalid input"))?,
    };
    Ok(Request { url: url.to_owned(), host, wants_markdown })
}

/// Is markdown among the formats? `None` when they are none.
fn has_markdown(formats: &Value) -> Option<bool> {
    let name = |format: &Value| format.as_str().or_else(|| format.get("type")?.as_str()).map(str::to_owned);
    let names = formats.as_array()?.iter().map(name).collect::<Option<Vec<_>>>()?;
    names.iter().all(|name| FORMATS.contains(&name.as_str())).then(|| names.iter().any(|name| name == "markdown"))
}

/// The host of an address, in lower case; the scheme may be left out.
fn host_of(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?.split(':').next()?;
    let is_host = host.contains('.') && !host.starts_with('.') && !host.contains(char::is_whitespace);
    (is_host && ["http", "https"].contains(&scheme)).then(|| host.to_ascii_lowercase())
}

impl Request {
    fn answer(&self, question: Hash) -> Answer {
        let scene = labels(&self.host).find_map(Scene::parse);
        match scene {
            // Who looked it up is billed, and no field says so.
            Some(Scene::NoDns) => {
                let said = format!("DNS resolution failed for hostname: {}", self.host);
                failure(Purpose::Scrape, 200, "SCRAPE_DNS_RESOLUTION_ERROR", &said).billed(Credits::ONE)
            }
            // Both a policy with a code and one without are seen.
            Some(Scene::Blocked) => {
                let code = question.pick("policy", &["UNSUPPORTED_SITE", ""]);
                failure(Purpose::Scrape, 403, code, "This website is not supported.")
            }
            Some(Scene::Slow) => {
                failure(Purpose::Scrape, 408, "SCRAPE_TIMEOUT", "Scrape timed out before completing. Try it later.")
            }
            Some(Scene::Broken) => {
                let codes = ["SCRAPE_SITE_ERROR", "SCRAPE_SSL_ERROR", "SCRAPE_ALL_ENGINES_FAILED"];
                failure(Purpose::Scrape, 500, question.pick("site", &codes), "The page could not be loaded.")
            }
            _ => self.page(scene, question),
        }
    }

    fn page(&self, scene: Option<Scene>, question: Hash) -> Answer {
        let host = &self.host;
        let markdown = match scene {
            Some(Scene::Gone) => page::gone(host),
            Some(Scene::Empty) => String::new(),
            Some(Scene::Long) => page::long(host),
            Some(Scene::Huge) => page::long(host).repeat(LONG_PAGES_OF_A_HUGE_ONE),
            Some(Scene::Hostile) => page::hostile(host),
            _ => page::home(host, question),
        };
        let credits = if matches!(scene, Some(Scene::Dear)) { Credits::FIVE } else { Credits::ONE };
        let mut data = Map::new();
        if self.wants_markdown {
            data.insert("markdown".to_owned(), markdown.into());
        }
        data.insert("metadata".to_owned(), self.metadata(scene, question).into());
        Answer::json(Purpose::Scrape, json!({"success": true, "data": data}).to_string()).billed(credits)
    }

    /// What sites say of themselves comes as a text or as a list of them.
    fn metadata(&self, scene: Option<Scene>, question: Hash) -> Map<String, Value> {
        let Self { url, host, .. } = self;
        let (title, description) = match scene {
            Some(Scene::Arrays) => (json!([host, "Home"]), json!(["About", host])),
            _ => (json!(host), json!(format!("All about {host}"))),
        };
        let (status, error) = match scene {
            Some(Scene::Gone) => (404, json!("Not Found")),
            _ => (200, Value::Null),
        };
        let (cache, cached_at) = match question.draw("cache", 2) {
            0 => ("hit", json!("2026-01-01T00:00:00.000Z")),
            _ => ("miss", Value::Null),
        };
        let scrape = format!("00000000-0000-4000-8000-{:012x}", question.value() >> 16);
        let mut metadata: Map<String, Value> = Map::from_iter([
            ("title".to_owned(), title),
            ("description".to_owned(), description),
            ("language".to_owned(), json!("en")),
            ("keywords".to_owned(), json!(["sandbox", host])),
            ("viewport".to_owned(), json!(["width=device-width", "initial-scale=1"])),
            ("sourceURL".to_owned(), json!(url)),
            ("url".to_owned(), json!(url)),
            ("statusCode".to_owned(), json!(status)),
            ("contentType".to_owned(), json!("text/html; charset=utf-8")),
            ("scrapeId".to_owned(), json!(scrape)),
            ("proxyUsed".to_owned(), json!("basic")),
            ("cacheState".to_owned(), json!(cache)),
            ("cachedAt".to_owned(), cached_at),
            ("concurrencyLimited".to_owned(), json!(false)),
            ("error".to_owned(), error),
        ]);
        let credits = match scene {
            Some(Scene::Unsaid) => return metadata,
            Some(Scene::Dear) => 5,
            _ => 1,
        };
        metadata.insert("creditsUsed".to_owned(), json!(credits));
        metadata
    }
}

impl Scene {
    fn parse(label: &str) -> Option<Self> {
        match label {
            "nodns" => Some(Self::NoDns),
            "gone" => Some(Self::Gone),
            "blocked" => Some(Self::Blocked),
            "slow" => Some(Self::Slow),
            "broken" => Some(Self::Broken),
            "dear" => Some(Self::Dear),
            "unsaid" => Some(Self::Unsaid),
            "empty" => Some(Self::Empty),
            "long" => Some(Self::Long),
            "huge" => Some(Self::Huge),
            "arrays" => Some(Self::Arrays),
            "hostile" => Some(Self::Hostile),
            _ => None,
        }
    }
}

impl Complaint {
    fn answer(self) -> Answer {
        let Self { code, field, message } = self;
        let path = if field.is_empty() { json!([]) } else { json!([field]) };
        let details = json!([{"code": "custom", "path": path, "message": message}]);
        let body = json!({"success": false, "code": code, "error": "Bad Request", "details": details});
        Answer::json(Purpose::Scrape, body.to_string()).with_status(400)
    }
}

fn balance(call: &Call<'_>) -> Answer {
    let credits = match call.trouble {
        None => 10_000,
        Some(Trouble::NoCredits) => 0,
        Some(trouble) => return refuse(trouble, Purpose::Account, Hash::new(0)),
    };
    let body = json!({"success": true, "data": {"remainingCredits": credits, "planCredits": 100_000,
                      "billingPeriodStart": "2026-01-01T00:00:00.000Z", "billingPeriodEnd": null}});
    Answer::json(Purpose::Account, body.to_string()).billed(Credits::NONE)
}

/// An error; without a code where it is empty.
fn failure(purpose: Purpose, status: u16, code: &str, said: &str) -> Answer {
    let body = match code {
        "" => json!({"success": false, "error": said}),
        code => json!({"success": false, "code": code, "error": said}),
    };
    Answer::json(purpose, body.to_string()).with_status(status)
}

fn refuse(trouble: Trouble, purpose: Purpose, question: Hash) -> Answer {
    let failure = |status, code, said| failure(purpose, status, code, said);
    let answer = match trouble {
        Trouble::MissingKey => failure(401, "", "Unauthorized: Token missing"),
        Trouble::BadKey => failure(401, "", "Unauthorized: Invalid token"),
        Trouble::NoCredits => failure(
            402,
            "",
            "Insufficient credits to perform this request. For more credits, you can upgrade your plan.",
        ),
        // What a suspended team gets is not documented.
        Trouble::Paused => failure(401, "", "Unauthorized"),
        Trouble::Throttled(seconds) => throttled(purpose, seconds.unwrap_or(1), question),
        Trouble::Failed => failure(500, "UNKNOWN_ERROR", "An unexpected error occurred. Please contact support."),
        Trouble::Outage(status) => Answer::page(purpose, status),
    };
    answer.to(question)
}

/// The header comes "when available"; the older server only has the text.
fn throttled(purpose: Purpose, seconds: u64, question: Hash) -> Answer {
    if question.draw("limit", 3) == 0 {
        return failure(purpose, 429, "", "Concurrency limit reached");
    }
    let said = format!(
        "Rate limit exceeded. Consumed (req/min): 11, Remaining (req/min): 0. Upgrade your plan for increased rate \
         limits or please retry after {seconds}s, resets at Thu Jan 01 2026 00:00:00 GMT+0000"
    );
    let answer = failure(purpose, 429, "", &said);
    if question.draw("header", 2) == 0 { answer.with_header("retry-after", seconds) } else { answer }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_read_from_an_address() {
        for (url, host) in [
            ("https://Acme.test/about?x#y", Some("acme.test")),
            ("http://user:word@acme.test:8080", Some("acme.test")),
            ("acme.test", Some("acme.test")),
            ("", None),
            ("acme", None),
            ("ftp://acme.test", None),
            ("https://a b.test", None),
            ("https://.test", None),
        ] {
            assert_eq!(host_of(url).as_deref(), host, "{url}");
        }
    }
}
