//! Where the messages travel, as an AsyncAPI 3 document: what the worker takes, what it says, over which
//! exchange and queue (CONTRACTS §4, topology).

use crate::messages::events::Message;
use crate::messages::events::must_be_routed;
use crate::messages::events::routing_key;
use crate::messages::incoming::CampaignActivate;
use crate::messages::incoming::ConfigReload;
use crate::messages::incoming::CopyJob;
use crate::messages::incoming::EnrichmentJob;
use crate::messages::incoming::JobControl;
use crate::messages::incoming::TopUp;
use crate::messages::notices::ConfigApplied;
use crate::messages::notices::ConfigRejected;
use crate::messages::notices::RechargeFailed;
use crate::messages::notices::RechargeRequested;
use crate::messages::results::CopyResult;
use crate::messages::results::JobCompleted;
use crate::messages::results::LeadResult;
use crate::messages::schema::payloads;
use crate::queue::DeadReason;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

/// The version of AsyncAPI's bindings for AMQP.
const BINDING: &str = "0.3.0";

/// A way to the worker.
struct Way {
    /// Its channel.
    name: &'static str,
    exchange: &'static str,
    exchange_type: &'static str,
    /// The routing key; a fanout exchange takes any.
    routing_key: Option<&'static str>,
    /// Who reads it.
    told: &'static str,
    /// What it takes.
    takes: &'static [&'static str],
    /// What goes to the `reply_to` of what it takes.
    replies: &'static [&'static str],
}

static WAYS: [Way; 4] = [
    Way {
        name: "enrich",
        exchange: "weir.jobs",
        exchange_type: "direct",
        routing_key: Some("enrich"),
        told: "Jobs to enrich leads. Any worker takes them, from the queue `weir.enrich`.",
        takes: &[EnrichmentJob::KIND],
        replies: &[LeadResult::KIND, JobCompleted::KIND],
    },
    Way {
        name: "copy",
        exchange: "weir.jobs",
        exchange_type: "direct",
        routing_key: Some("copy"),
        told: "Jobs to write copy. Any worker takes them, from the queue `weir.copy`.",
        takes: &[CopyJob::KIND],
        replies: &[CopyResult::KIND, JobCompleted::KIND],
    },
    Way {
        name: "control",
        exchange: "weir.jobs",
        exchange_type: "direct",
        routing_key: Some("control"),
        told: "Jobs stopped and resumed, money, campaigns. Any worker takes them, from the queue `weir.jobcontrol`.",
        takes: &[JobControl::KIND, TopUp::KIND, CampaignActivate::KIND],
        replies: &[],
    },
    Way {
        name: "config",
        exchange: "weir.control",
        exchange_type: "fanout",
        routing_key: None,
        told: "Configurations, under any routing key: every worker takes each, from a queue of its own.",
        takes: &[ConfigReload::KIND],
        replies: &[],
    },
];

/// The whole document. The schemas are those of `weir schema`, in the draft that AsyncAPI takes by default.
pub fn asyncapi() -> Value {
    let payloads = payloads();
    let events: Vec<&str> = payloads.keys().map(String::as_str).filter(|kind| !is_taken(kind)).collect();
    let messages: Map<String, Value> =
        payloads.iter().map(|(kind, payload)| (kind.clone(), message(kind, payload))).collect();
    json!({
        "asyncapi": "3.0.0",
        "id": "urn:weir:worker",
        "info": {
            "title": "weir worker",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The messages of `weir worker` over RabbitMQ: jobs in, results and events out. JSON, UTF-8, \
                persistent. A message without an AMQP `type` is told by its routing key; unknown fields are passed \
                over. The workers' own queues, `weir.slices` and `weir.retry.*`, are no part of it.",
            "license": { "name": env!("CARGO_PKG_LICENSE") },
        },
        "defaultContentType": "application/json",
        "servers": { "broker": server() },
        "channels": channels(&events),
        "operations": operations(&events),
        "components": {
            "schemas": { "sender_properties": sender_properties(), "event_properties": event_properties() },
            "messages": messages,
        },
    })
}

/// Is it sent to the worker?
fn is_taken(kind: &str) -> bool {
    taken().any(|taken| taken == kind)
}

fn taken() -> impl Iterator<Item = &'static str> {
    WAYS.iter().flat_map(|way| way.takes).copied()
}

fn server() -> Value {
    json!({
        "host": "{host}",
        "pathname": "/{vhost}",
        "protocol": "amqp",
        "protocolVersion": "0.9.1",
        "description": "RabbitMQ, as `broker.url` names it.",
        "variables": {
            "host": { "default": "127.0.0.1:5672", "description": "Host and port." },
            "vhost": { "default": "%2f", "description": "The virtual host, percent-encoded." },
        },
    })
}

fn channels(events: &[&str]) -> Map<String, Value> {
    let mut channels = Map::new();
    for way in &WAYS {
        let exchange = exchange(way.exchange, way.exchange_type);
        channels.insert(way.name.to_owned(), channel(way.routing_key, way.told, way.takes, exchange));
    }
    for kind in events {
        let key = routing_key(kind);
        let told = if must_be_routed(kind) {
            "Published until a queue has it, again under the same `event_id`."
        } else {
            "Published once."
        };
        channels.insert(key.to_owned(), channel(Some(key), told, &[*kind], exchange("weir.events", "topic")));
    }
    let results: Vec<&str> = events.iter().copied().filter(|kind| must_be_routed(kind)).collect();
    let told = "A queue that is bound to what must not get lost, for whoever reads results.";
    channels.insert("results".to_owned(), channel(Some("weir.results"), told, &results, queue("weir.results")));
    let taken: Vec<&str> = taken().collect();
    channels.insert("dead".to_owned(), channel(Some("weir.dead"), &of_the_dead(), &taken, queue("weir.dead")));
    let told = "The queue that a job's sender named in `reply_to`, by the default exchange: copies of its results.";
    channels.insert("reply".to_owned(), without_binding(None, told, &results));
    channels
}

fn of_the_dead() -> String {
    let reasons = DeadReason::ALL.map(|reason| format!("`{}`", reason.as_str())).join(", ");
    format!(
        "What could not be handled, as it came, with the headers `x-weir-reason` ({reasons}) and `x-weir-detail`, a \
         sentence that names the field."
    )
}

fn channel(address: Option<&str>, told: &str, kinds: &[&str], binding: Value) -> Value {
    with(without_binding(address, told, kinds), "bindings", Some(json!({ "amqp": binding })))
}

fn without_binding(address: Option<&str>, told: &str, kinds: &[&str]) -> Value {
    let messages = kinds.iter().map(|&kind| (kind.to_owned(), reference(&["components", "messages", kind])));
    let messages: Map<String, Value> = messages.collect();
    json!({ "address": address, "description": told, "messages": messages })
}

fn exchange(name: &str, kind: &str) -> Value {
    let exchange = json!({ "name": name, "type": kind, "durable": true, "autoDelete": false });
    json!({ "is": "routingKey", "exchange": exchange, "bindingVersion": BINDING })
}

fn queue(name: &str) -> Value {
    let queue = json!({ "name": name, "durable": true, "exclusive": false, "autoDelete": false });
    json!({ "is": "queue", "queue": queue, "bindingVersion": BINDING })
}

fn operations(events: &[&str]) -> Map<String, Value> {
    let mut operations = Map::new();
    let acknowledged = json!({ "ack": true, "bindingVersion": BINDING });
    for way in &WAYS {
        let operation = operation("receive", way.name, way.takes, &acknowledged);
        operations.insert(format!("receive_{}", way.name), with(operation, "reply", reply(way)));
    }
    let published = json!({ "deliveryMode": 2, "mandatory": true, "timestamp": true, "bindingVersion": BINDING });
    for kind in events {
        let key = routing_key(kind);
        operations.insert(format!("send_{key}"), operation("send", key, &[*kind], &published));
    }
    let taken: Vec<&str> = taken().collect();
    operations.insert("send_dead".to_owned(), operation("send", "dead", &taken, &published));
    operations
}

fn operation(action: &str, channel: &str, kinds: &[&str], binding: &Value) -> Value {
    json!({
        "action": action,
        "channel": reference(&["channels", channel]),
        "messages": in_channel(channel, kinds),
        "bindings": { "amqp": binding },
    })
}

fn reply(way: &Way) -> Option<Value> {
    let reply = || {
        json!({
            "address": {
                "location": "$message.header#/reply_to",
                "description": "A queue; without one the results are published as events alone.",
            },
            "channel": reference(&["channels", "reply"]),
            "messages": in_channel("reply", way.replies),
        })
    };
    (!way.replies.is_empty()).then(reply)
}

fn in_channel(channel: &str, kinds: &[&str]) -> Vec<Value> {
    kinds.iter().map(|&kind| reference(&["channels", channel, "messages", kind])).collect()
}

fn message(kind: &str, payload: &Value) -> Value {
    let properties = if is_taken(kind) { "sender_properties" } else { "event_properties" };
    let message = json!({
        "name": kind,
        "title": routing_key(kind),
        "summary": payload.get("description"),
        "contentType": "application/json",
        "headers": reference(&["components", "schemas", properties]),
        "payload": payload,
        "bindings": { "amqp": { "messageType": kind, "bindingVersion": BINDING } },
    });
    let correlation = correlation(kind).map(|(place, told)| json!({ "location": place, "description": told }));
    with(message, "correlationId", correlation)
}

/// Where an answer names what it answers, and what that means.
fn correlation(kind: &str) -> Option<(&'static str, &'static str)> {
    match kind {
        EnrichmentJob::KIND | CopyJob::KIND => {
            Some(("$message.header#/correlation_id", "Copied into what goes to `reply_to`."))
        }
        LeadResult::KIND | CopyResult::KIND | JobCompleted::KIND => {
            Some(("$message.header#/correlation_id", "That of the job, in what goes to its `reply_to` alone."))
        }
        TopUp::KIND | RechargeRequested::KIND | RechargeFailed::KIND => {
            Some(("$message.payload#/ref", "A top-up answers the request with its `ref`."))
        }
        ConfigReload::KIND | ConfigApplied::KIND | ConfigRejected::KIND => {
            Some(("$message.payload#/request_id", "Every worker answers."))
        }
        _ => None,
    }
}

/// The AMQP properties that the worker looks at; AsyncAPI has no other place for them than the headers.
fn sender_properties() -> Value {
    json!({
        "type": "object",
        "description": "AMQP properties.",
        "properties": {
            "type": { "type": "string", "description": "The message's name; left out, its routing key tells it." },
            "message_id": { "type": "string", "maxLength": 255, "description": "Chosen by the sender." },
            "reply_to": { "type": "string", "maxLength": 255, "description": "Of jobs: where results go besides." },
            "correlation_id": { "type": "string", "maxLength": 255, "description": "Of jobs: copied there." },
        },
    })
}

/// The AMQP properties of what the worker says.
fn event_properties() -> Value {
    json!({
        "type": "object",
        "description": "AMQP properties.",
        "required": ["type", "message_id", "content_type", "app_id", "timestamp"],
        "properties": {
            "type": { "type": "string", "description": "The message's name." },
            "message_id": { "type": "string", "description": "The `event_id`: the same when it is published again." },
            "content_type": { "type": "string", "const": "application/json" },
            "app_id": { "type": "string", "const": "weir" },
            "timestamp": { "type": "integer", "description": "When it was published, in seconds since 1970." },
            "correlation_id": { "type": "string", "description": "That of the job, in copies to its `reply_to`." },
        },
    })
}

/// The object with one more field, if there is something to put into it.
fn with(mut object: Value, field: &str, value: Option<Value>) -> Value {
    if let (Some(fields), Some(value)) = (object.as_object_mut(), value) {
        fields.insert(field.to_owned(), value);
    }
    object
}

/// A reference inside the document. No name here has a character that would have to be escaped.
fn reference(path: &[&str]) -> Value {
    json!({ "$ref": format!("#/{}", path.join("/")) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::schemas;
    use std::collections::BTreeSet;

    /// What stands under this key anywhere in the document.
    fn under<'d>(key: &str, value: &'d Value) -> Vec<&'d Value> {
        match value {
            Value::Object(object) => {
                let here = object.get(key).into_iter();
                here.chain(object.values().flat_map(|value| under(key, value))).collect()
            }
            Value::Array(items) => items.iter().flat_map(|value| under(key, value)).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        }
    }

    fn target<'d>(document: &'d Value, reference: &Value) -> &'d Value {
        let pointer = reference.as_str().and_then(|text| text.strip_prefix('#')).unwrap();
        document.pointer(pointer).unwrap_or_else(|| panic!("{pointer} leads nowhere"))
    }

    /// The types of the messages that an operation or a channel refers to.
    fn names(document: &Value, references: &[&Value]) -> Vec<String> {
        let of = |reference: &&Value| {
            let mut message = target(document, &reference["$ref"]);
            while let Some(further) = message.get("$ref") {
                message = target(document, further);
            }
            message["name"].as_str().unwrap().to_owned()
        };
        references.iter().map(of).collect()
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = asyncapi();
        let references = under("$ref", &document);
        assert!(references.len() > 100, "{}", references.len());
        for reference in references {
            assert!(!target(&document, reference).is_null(), "{reference}");
        }
    }

    #[test]
    fn every_message_is_there_once_with_its_type_and_the_fields_of_its_schema() {
        let document = asyncapi();
        let messages = document["components"]["messages"].as_object().unwrap();
        let schemas = schemas();
        assert_eq!(messages.keys().collect::<Vec<_>>(), schemas.keys().collect::<Vec<_>>());
        for (kind, message) in messages {
            assert_eq!((&message["name"], &message["bindings"]["amqp"]["messageType"]), (&json!(kind), &json!(kind)));
            for part in ["required", "properties", "oneOf"] {
                assert_eq!(message["payload"].get(part), schemas[kind].get(part), "{part} of {kind}");
            }
            assert_eq!(message["payload"].get("$schema"), None);
            assert!(message["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{kind}");
        }
    }

    #[test]
    fn every_message_is_received_or_sent_by_one_operation_and_what_is_dead_was_received() {
        let document = asyncapi();
        let (mut received, mut told, mut dead) = (Vec::new(), Vec::new(), Vec::new());
        for (id, operation) in document["operations"].as_object().unwrap() {
            let messages: Vec<&Value> = operation["messages"].as_array().unwrap().iter().collect();
            let channel = operation["channel"]["$ref"].as_str().unwrap();
            let is_in_channel =
                |message: &&Value| message["$ref"].as_str().unwrap().starts_with(&format!("{channel}/"));
            assert!(messages.iter().all(is_in_channel), "{id}");
            let names = names(&document, &messages);
            match (id.as_str(), operation["action"].as_str().unwrap()) {
                ("send_dead", "send") => dead = names,
                (_, "receive") => received.extend(names),
                (_, "send") => told.extend(names),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(dead, received);
        received.extend(told);
        assert_eq!(received, schemas().keys().cloned().collect::<Vec<_>>());
    }

    #[test]
    fn what_travels_over_an_exchange_has_the_address_that_it_is_read_from() {
        let document = asyncapi();
        let mut seen = BTreeSet::new();
        for (name, channel) in document["channels"].as_object().unwrap() {
            let exchange = channel["bindings"]["amqp"]["exchange"]["name"].as_str();
            let address = channel["address"].as_str();
            assert_eq!(exchange.is_none(), ["results", "dead", "reply"].contains(&name.as_str()), "{name}");
            assert_eq!(address.is_none(), ["config", "reply"].contains(&name.as_str()), "{name}");
            assert!(seen.insert((exchange, address)), "{name}");
            for message in channel["messages"].as_object().unwrap().values() {
                let kind = names(&document, &[message]).remove(0);
                if exchange == Some("weir.events") {
                    assert_eq!(address, Some(routing_key(&kind)));
                }
                // What has no type is told by where it comes from.
                let read = crate::messages::read(None, address.unwrap_or_default(), b"{}");
                let is_told = read.is_err_and(|refusal| refusal.reason == DeadReason::Invalid);
                assert_eq!(is_told, exchange == Some("weir.jobs"), "{kind} on {name}");
            }
        }
    }

    #[test]
    fn the_results_are_what_must_reach_a_queue_and_replies_are_some_of_them() {
        let document = asyncapi();
        let of = |channel: &str| {
            let messages: Vec<&Value> =
                document["channels"][channel]["messages"].as_object().unwrap().values().collect();
            names(&document, &messages)
        };
        assert_eq!(of("results"), [LeadResult::KIND, CopyResult::KIND, JobCompleted::KIND]);
        assert_eq!(of("reply"), of("results"));
        for (operation, result) in [("receive_enrich", LeadResult::KIND), ("receive_copy", CopyResult::KIND)] {
            let reply = &document["operations"][operation]["reply"];
            let messages: Vec<&Value> = reply["messages"].as_array().unwrap().iter().collect();
            assert_eq!(names(&document, &messages), [result, JobCompleted::KIND]);
        }
    }

    #[test]
    fn an_answer_names_what_it_answers_where_both_have_the_field() {
        for (kind, payload) in payloads() {
            let Some(field) = correlation(&kind).and_then(|(place, _)| place.strip_prefix("$message.payload#/")) else {
                continue;
            };
            assert!(payload["properties"].get(field).is_some(), "{field} of {kind}");
        }
    }

    #[test]
    fn the_document_is_the_same_each_time() {
        assert_eq!(asyncapi().to_string(), asyncapi().to_string());
    }
}
