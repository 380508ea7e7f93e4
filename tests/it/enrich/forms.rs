//! Lists as the world writes them, byte for byte.

use crate::enrich::folder::Config;
use crate::enrich::folder::Folder;
use crate::enrich::lists::usd;
use crate::enrich::sandbox_process::SandboxProcess;

const CONFIG: Config<'_> = Config { find: &["leadmagic"], verify: &["zerobounce"], worker: "", every_provider: "" };

const LIST: &str = "full_name,domain\nAda Sample,a.hit.test\nBen Okafor,b.miss.test\n";
const ENRICHED: &str = "\
full_name,domain,weir_status,weir_reason,weir_email,weir_email_verdict,weir_found_by,weir_verified_by,weir_cost_usd,weir_attempts
Ada Sample,a.hit.test,verified,none,ada.sample@a.hit.test,valid,leadmagic,zerobounce,0.025400000,2
Ben Okafor,b.miss.test,not_found,none,,,,,0.000000000,1
";

const NDJSON: &str = r#"{"full_name":"Ada Sample","domain":"a.hit.test", "price":1.50, "more":[1,{"x":null}]}
{"full_name":"a name alone"}
"#;
const NDJSON_ENRICHED: &str = r#"{"full_name":"Ada Sample","domain":"a.hit.test", "price":1.50, "more":[1,{"x":null}],"weir_status":"verified","weir_reason":"none","weir_email":"ada.sample@a.hit.test","weir_email_verdict":"valid","weir_found_by":"leadmagic","weir_verified_by":"zerobounce","weir_cost_usd":"0.025400000","weir_attempts":2}
{"full_name":"a name alone","weir_status":"skipped","weir_reason":"invalid_input","weir_email":null,"weir_email_verdict":null,"weir_found_by":null,"weir_verified_by":null,"weir_cost_usd":"0.000000000","weir_attempts":0}
"#;

#[test]
fn standard_input_goes_to_a_file_or_alone_to_standard_output() {
    let sandbox = SandboxProcess::start(&[]);
    let folder = Folder::new(CONFIG, &sandbox);
    folder.run_on(LIST, &["enrich", "-", "--budget", "1", "-o", "out.csv"]).done();
    assert_eq!(folder.read("out.csv"), ENRICHED);
    assert_eq!(folder.run_on(LIST, &["enrich", "-", "--budget", "1"]).done().out, ENRICHED);
    folder.assert_audit_is_clean();
}

#[test]
fn an_object_a_line_comes_back_as_it_was_with_eight_keys_more() {
    let sandbox = SandboxProcess::start(&[]);
    let folder = Folder::new(CONFIG, &sandbox);
    folder.write("leads.ndjson", NDJSON);
    folder.run(&["enrich", "leads.ndjson", "--budget", "1"]).done();
    assert_eq!(folder.read("leads.enriched.ndjson"), NDJSON_ENRICHED);
    folder.run_on(NDJSON, &["enrich", "-", "--format", "ndjson", "--budget", "1", "-o", "out.ndjson"]).done();
    assert_eq!(folder.read("out.ndjson"), NDJSON_ENRICHED);
    folder.assert_audit_is_clean();
}

#[test]
fn semicolons_quotes_and_line_ends_stay_and_the_byte_order_mark_goes() {
    let sandbox = SandboxProcess::start(&[]);
    let folder = Folder::new(CONFIG, &sandbox);
    let list = [
        "\u{feff}Vorname;last;Firma;website;note",
        "Ada;Sample;Acme;https://www.a.hit.test/x;\"a;b\"",
        "Ben;Okafor;;b.miss.test;\"say \"\"hi\"\"\"",
        "",
        ";;Acme",
        "",
    ];
    folder.write("leads.csv", list.join("\r\n"));
    let enrich = "enrich leads.csv --budget 1 --map first_name=Vorname --map company=Firma";
    folder.run(&enrich.split(' ').collect::<Vec<_>>()).done();
    let enriched = [
        "Vorname;last;Firma;website;note;weir_status;weir_reason;weir_email;weir_email_verdict;weir_found_by;\
         weir_verified_by;weir_cost_usd;weir_attempts",
        "Ada;Sample;Acme;https://www.a.hit.test/x;\"a;b\";verified;none;ada.sample@a.hit.test;valid;leadmagic;\
         zerobounce;0.025400000;2",
        "Ben;Okafor;;b.miss.test;\"say \"\"hi\"\"\";not_found;none;;;;;0.000000000;1",
        ";;Acme;;;skipped;invalid_input;;;;;0.000000000;0",
        "",
    ];
    assert_eq!(folder.read("leads.enriched.csv"), enriched.join("\r\n"));
}

#[test]
fn every_odd_row_comes_back_in_its_place_and_the_same_lead_is_paid_once() {
    let sandbox = SandboxProcess::start(&[]);
    let folder = Folder::new(CONFIG, &sandbox);
    // An id and its lead twice, an address that is given, one that is none, too little, too much.
    let list = "\
id,full_name,domain,email
x,Ada Sample,a.hit.test,
x,Ada Sample,a.hit.test,
y,Ben Okafor,b.hit.test,ben.okafor@b.hit.test
z,Cleo Stone,c.hit.test,n/a
v,Dan Frost,,
w,Eva Brook,e.hit.test,,more,cells
";
    folder.write("leads.csv", list);
    let answer = folder.run(&["enrich", "leads.csv", "--budget", "1"]).done();
    let enriched = "\
id,full_name,domain,email,weir_status,weir_reason,weir_email,weir_email_verdict,weir_found_by,weir_verified_by,weir_cost_usd,weir_attempts
x,Ada Sample,a.hit.test,,verified,none,ada.sample@a.hit.test,valid,leadmagic,zerobounce,0.025400000,2
x,Ada Sample,a.hit.test,,verified,none,ada.sample@a.hit.test,valid,leadmagic,zerobounce,0.000000000,0
y,Ben Okafor,b.hit.test,ben.okafor@b.hit.test,verified,none,ben.okafor@b.hit.test,valid,,zerobounce,0.012900000,1
z,Cleo Stone,c.hit.test,n/a,verified,none,cleo.stone@c.hit.test,valid,leadmagic,zerobounce,0.025400000,2
v,Dan Frost,,,skipped,invalid_input,,,,,0.000000000,0
w,Eva Brook,e.hit.test,,skipped,invalid_input,,,,,0.000000000,0,more,cells
";
    assert_eq!(folder.read("leads.enriched.csv"), enriched);
    assert_eq!(answer.err.matches("the lead id x stands in the list more than once").count(), 1, "{}", answer.err);
    let ids: Vec<_> = folder.json(&["jobs", "results", &folder.job()]).iter().map(|r| r["lead_id"].clone()).collect();
    assert_eq!(ids, ["1", "2", "3", "4", "5", "6"]);
    assert_eq!((sandbox.count(), folder.spent()), (5, usd("0.0637")));
    folder.assert_audit_is_clean();
}
