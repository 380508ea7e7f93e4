//! The rules of CONTRACTS §1 on FILE and OUT, as tables.

use crate::domain::Address;
use crate::domain::Draft;
use crate::domain::Ending;
use crate::domain::Lead;
use crate::domain::ProviderName;
use crate::domain::Reason;
use crate::domain::Status;
use crate::domain::Usd;
use crate::domain::Verdict;
use crate::lists::Counts;
use crate::lists::Drafted;
use crate::lists::Enrichment;
use crate::lists::Format;
use crate::lists::Input;
use crate::lists::LINE_LIMIT;
use crate::lists::LeadIds;
use crate::lists::ListError;
use crate::lists::Mapping;
use crate::lists::Need;
use crate::lists::Out;
use crate::lists::Row;
use crate::lists::Scan;
use crate::lists::Unusable;
use crate::lists::rows;
use crate::lists::scan;
use crate::lists::write_enriched;
use proptest::prelude::*;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

/// A list in a folder of its own.
struct List {
    folder: TempDir,
    name: &'static str,
}

impl List {
    fn new(name: &'static str, bytes: impl AsRef<[u8]>) -> Self {
        let list = Self { folder: tempfile::tempdir().unwrap(), name };
        fs::write(list.path(name), bytes).unwrap();
        list
    }

    fn csv(text: &str) -> Self {
        Self::new("leads.csv", text)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn input(&self) -> Input {
        Input::file(&self.path(self.name)).unwrap()
    }

    fn scan(&self, map: &[&str]) -> Result<Scan, ListError> {
        scan(&self.input(), None, &Mapping::parse(map)?, Need::Lookup)
    }

    fn rows(&self, map: &[&str], ids: LeadIds) -> Vec<Row> {
        let (input, scan) = (self.input(), self.scan(map).unwrap());
        rows(&input, &scan, ids).unwrap().collect::<Result<_, _>>().unwrap()
    }

    /// The rows as those of a list that copy is written for.
    fn rows_to_write_for(&self) -> (Scan, Vec<Row>) {
        let input = self.input();
        let scan = scan(&input, None, &Mapping::default(), Need::Anything).unwrap();
        let rows = rows(&input, &scan, LeadIds::FromColumn).unwrap().collect::<Result<_, _>>().unwrap();
        (scan, rows)
    }

    fn lead(&self, map: &[&str]) -> Lead {
        self.rows(map, LeadIds::FromColumn).remove(0).lead.unwrap()
    }

    fn ids(&self, ids: LeadIds) -> Vec<String> {
        self.rows(&[], ids).iter().map(|row| row.lead_id.to_string()).collect()
    }

    /// The message without the folder, which differs from run to run.
    fn refusal(&self, map: &[&str]) -> String {
        let error = self.scan(map).unwrap_err();
        assert!(error.is_bad_input(), "{error}");
        error.to_string().replace(&format!("{}/", self.folder.path().display()), "")
    }

    /// What is written when the first row was found and the others have not ended.
    fn enriched(&self) -> String {
        let out = self.path("out");
        let first_only = |number| Ok::<_, ListError>((number == 1).then(found));
        write_enriched(&self.input(), &self.scan(&[]).unwrap(), &Out::File(out.clone()), first_only).unwrap();
        fs::read_to_string(out).unwrap()
    }

    /// What is written when there is copy for the first row, none for the second, and the others have not ended.
    fn drafted(&self) -> String {
        let out = self.path("out");
        let added = |number| {
            Ok::<_, ListError>(match number {
                1 => Some(written()),
                2 => Some(Drafted { status: Status::Failed, reason: Reason::Refused, draft: None, ..written() }),
                _ => None,
            })
        };
        let (scan, _) = self.rows_to_write_for();
        write_enriched(&self.input(), &scan, &Out::File(out.clone()), added).unwrap();
        fs::read_to_string(out).unwrap()
    }
}

/// A body of two lines, with everything in it that a table must quote.
fn written() -> Drafted {
    let draft = Draft { subject: "Hi, Ada".to_owned(), body: "One \"line\";\nand another".to_owned() };
    Drafted {
        status: Status::Written,
        reason: Reason::None,
        draft: Some(Arc::new(draft)),
        cost: Usd::from_nanos(1_234_000),
        attempts: 2,
    }
}

fn found() -> Enrichment {
    Enrichment {
        ending: Ending {
            status: Status::Verified,
            reason: Reason::None,
            address: Address::parse("ada@acme.test"),
            verdict: Some(Verdict::Valid),
            found_by: Some(ProviderName::new("leadmagic")),
            verified_by: None,
        },
        cost: Usd::from_nanos(20_500_000),
        attempts: 2,
    }
}

const ADDED: &str = "weir_status,weir_reason,weir_email,weir_email_verdict,weir_found_by,weir_verified_by,\
                     weir_cost_usd,weir_attempts";
const FOUND: &str = "verified,none,ada@acme.test,valid,leadmagic,,0.020500000,2";

#[test]
fn columns_are_recognised_whatever_their_case_spaces_underscores_and_hyphens() {
    for header in ["Email", " EMAIL ", "e_mail", "E-Mail", "e mail"] {
        assert!(List::csv(&format!("{header}\nada@acme.test\n")).lead(&[]).email.is_some(), "{header}");
    }
    for (header, read) in [
        ("first_name", "first"),
        ("First", "first"),
        ("Given-Name", "first"),
        ("LAST NAME", "last"),
        ("last", "last"),
        ("Surname", "last"),
        ("Full Name", "full"),
        ("name", "full"),
        ("Company", "company"),
        ("Company Name", "company"),
        ("organization", "company"),
        ("linkedin_url", "linkedin"),
        ("LinkedIn", "linkedin"),
        ("Profile URL", "linkedin"),
    ] {
        let lead = List::csv(&format!("email,{header}\na@acme.test, Ada \n")).lead(&[]);
        let field = match read {
            "first" => lead.first_name,
            "last" => lead.last_name,
            "full" => lead.full_name,
            "company" => lead.company,
            _ => lead.linkedin_url,
        };
        assert_eq!(field.as_deref(), Some("Ada"), "{header}");
    }
    for header in ["domain", "Company-Domain", "Website", "URL"] {
        let lead = List::csv(&format!("name,{header}\nAda,https://www.Acme.test/x\n")).lead(&[]);
        assert_eq!(lead.domain.as_deref(), Some("acme.test"), "{header}");
    }
}

#[test]
fn of_two_columns_for_a_field_the_contracts_first_name_wins() {
    let lead = List::csv("name,website,domain\nAda,other.test,acme.test\n").lead(&[]);
    assert_eq!(lead.domain.as_deref(), Some("acme.test"));
}

#[test]
fn map_names_columns_that_are_not_recognised_and_frees_those_that_are() {
    let list = List::csv("Work mail,name,Firm\nada@acme.test,Acme,Other\n");
    let lead = list.lead(&["email=work_mail", "company=name"]);
    assert_eq!(lead.email, Address::parse("ada@acme.test"));
    assert_eq!((lead.company.as_deref(), lead.full_name), (Some("Acme"), None));
}

#[test]
fn a_bad_map_is_refused_with_what_there_is() {
    let list = List::csv("email,Firm\nada@acme.test,Acme\n");
    for (map, message) in [
        ("mail=Firm", "--map mail=Firm: there is no field `mail`; the fields are lead_id, first_name, "),
        ("company=Co", "leads.csv: --map company=Co: there is no such column; the list has `email`, `Firm`"),
        ("company", "--map company: write it as field=Column"),
        ("company=", "--map company=: write it as field=Column"),
    ] {
        let refusal = list.refusal(&[map]);
        assert!(refusal.starts_with(message), "{refusal}");
    }
    assert!(list.refusal(&["company=Firm", "company=email"]).contains("company is mapped twice"));
}

#[test]
fn the_order_of_map_options_does_not_count() {
    let parse = |entries: [&str; 2]| Mapping::parse(&entries).unwrap();
    assert_eq!(parse(["email=A", "company=B"]).entries(), parse(["company=B", "email=A"]).entries());
}

#[test]
fn the_delimiter_is_the_most_frequent_one_outside_quotes_on_the_first_line() {
    for text in [
        "name,company\nAda,Acme\n",
        "name;company\nAda;Acme\n",
        "name\tcompany\nAda\tAcme\n",
        "\"x;;;\",name,company\n1,Ada,Acme\n",
        "name;company;\"a,b,c,d\"\nAda;Acme;1\n",
        "\u{feff}name,company\nAda,Acme\n",
        "\r\n\r\nname,company\r\nAda,Acme\r\n",
        "name,company\nAda,Acme",
    ] {
        let lead = List::csv(text).lead(&[]);
        assert_eq!((lead.full_name.as_deref(), lead.company.as_deref()), (Some("Ada"), Some("Acme")), "{text:?}");
    }
}

#[test]
fn a_row_is_usable_with_a_name_and_a_company_or_a_profile_or_an_address() {
    let header = "first,last,name,company,domain,linkedin,email";
    for (row, expected) in [
        ("Ada,,,Acme,,,", Ok(())),
        (",Sample,,,acme.test,,", Ok(())),
        (",,Ada Sample,Acme,,,", Ok(())),
        (",,,,,linkedin.com/in/ada,", Ok(())),
        (",,,,,,ada@acme.test", Ok(())),
        (",,,,,,ada@acme.test,", Err(Unusable::TooManyCells)),
        ("Ada,Sample,,,,,", Err(Unusable::TooLittle)),
        (",,,Acme,acme.test,,", Err(Unusable::TooLittle)),
        (",,,,,,n/a", Err(Unusable::TooLittle)),
        ("Ada,,,,n/a,,", Err(Unusable::TooLittle)),
        (" , ,\t, , , , ", Err(Unusable::TooLittle)),
        ("Ada,,,Acme", Ok(())),
        ("Ada", Err(Unusable::TooLittle)),
    ] {
        let list = List::csv(&format!("{header}\n{row}\n"));
        let rows = list.rows(&[], LeadIds::FromColumn);
        assert_eq!(rows[0].lead.as_ref().map(|_| ()).map_err(|why| *why), expected, "{row}");
    }
}

#[test]
fn copy_is_written_for_a_row_with_anything_in_it() {
    let header = "first,last,name,company,domain,linkedin,email";
    for (row, expected) in [
        ("Ada,,,,,,", Ok(())),
        (",,,Acme,,,", Ok(())),
        (",,,,acme.test,,", Ok(())),
        (",,,,,,ada@acme.test", Ok(())),
        (",,,,,,ada@acme.test,", Err(Unusable::TooManyCells)),
        (" ,,,,n/a,,n/a", Err(Unusable::Nothing)),
        ("\"\"", Err(Unusable::Nothing)),
    ] {
        let (scan, rows) = List::csv(&format!("{header}\n{row}\n")).rows_to_write_for();
        assert_eq!(rows[0].lead.as_ref().map(|_| ()).map_err(|why| *why), expected, "{row}");
        assert_eq!((scan.counts.rows, scan.counts.usable), (1, u64::from(expected.is_ok())), "{row}");
    }
}

#[test]
fn counts_tell_what_the_rows_hold_and_empty_lines_are_no_rows() {
    let list = List::csv(
        "name,company,linkedin,email\n\
         Ada,Acme,,\n\n\
         Bob,Acme,in/bob,bob@acme.test\n\
         ,,in/cy,\n\r\n\
         ,,,\n",
    );
    let counts = Counts { rows: 4, usable: 3, address_and_name: 1, name: 1, profile: 1, ..Counts::default() };
    assert_eq!(list.scan(&[]).unwrap().counts, counts);
}

#[test]
fn a_lead_id_is_the_columns_or_the_rows_number() {
    for (text, ids) in [
        ("email\na@x.test\n\nb@x.test\n", ["1", "2"]),
        ("id,email\n x-1 ,a@x.test\ny:2,b@x.test\n", ["x-1", "y:2"]),
        ("id,email\n,a@x.test\na b,b@x.test\n", ["1", "2"]),
        ("id,email\nsame,a@x.test\nsame,b@x.test\n", ["same", "same"]),
    ] {
        assert_eq!(List::csv(text).ids(LeadIds::FromColumn), ids, "{text:?}");
        assert_eq!(List::csv(text).ids(LeadIds::RowNumbers), ["1", "2"], "{text:?}");
    }
    let long = format!("id,email\n{},a@x.test\n{},b@x.test\n", "x".repeat(64), "y".repeat(65));
    assert_eq!(List::csv(&long).ids(LeadIds::FromColumn), ["x".repeat(64), "2".to_owned()]);
}

#[test]
fn what_is_no_list_is_refused_by_file_and_line() {
    let wide = "x".repeat(usize::try_from(LINE_LIMIT).unwrap() + 10);
    let open_quote = format!("email\na@x.test\n\"{}", "b@x.test\n".repeat(300_000));
    for (bytes, message) in [
        (b"".to_vec(), "leads.csv: empty;"),
        (b"\n\n".to_vec(), "leads.csv: empty;"),
        (b"email,name\n".to_vec(), "leads.csv: no rows;"),
        (b"one,two\n1,2\n".to_vec(), "leads.csv: no column is recognised; the list has `one`, `two`. Give it a header"),
        (b"email\n\xff\n".to_vec(), "leads.csv line 2: not UTF-8;"),
        (b"email\r\na@x.test\r\n\r\n\xff\r\n".to_vec(), "leads.csv line 4: not UTF-8;"),
        (b"email\n\"a\nb\"\n\xff".to_vec(), "leads.csv line 4: not UTF-8;"),
        (b"\xff\xfee\0m\0".to_vec(), "leads.csv: not a text file"),
        (b"email\na@x.test\n\0".to_vec(), "leads.csv: not a text file"),
        (format!("email\na@x.test\n{wide}\n").into_bytes(), "leads.csv line 3: longer than 1 MiB"),
        (open_quote.into_bytes(), "leads.csv line 3: longer than 1 MiB"),
        (b"email,weir_status\na@x.test,\n".to_vec(), "leads.csv: there is a column `weir_status` already"),
        (b"email,weir_email\na@x.test,\n".to_vec(), "leads.csv: there is a column `weir_email` already"),
        (
            b"email,weir_body,weir_enrich_status\na@x.test,,\n".to_vec(),
            "leads.csv: there is a column `weir_enrich_status` already",
        ),
    ] {
        let refusal = List::new("leads.csv", bytes).refusal(&[]);
        assert!(refusal.starts_with(message), "{refusal}\n{message}");
    }
}

#[test]
fn what_is_no_json_list_is_refused_by_file_and_line() {
    let wide = format!("{{\"email\":\"{}\"}}\n", "x".repeat(usize::try_from(LINE_LIMIT).unwrap()));
    for (bytes, message) in [
        (b"".to_vec(), "leads.jsonl: no rows;"),
        (b"{\"email\":\"a@x.test\"}\n\n[1]\n".to_vec(), "leads.jsonl line 3: not a JSON object"),
        (b"{\"email\":\"a@x.test\"".to_vec(), "leads.jsonl line 1: not a JSON object"),
        (b"{}\n{\"email\":\"\xff\"}".to_vec(), "leads.jsonl line 2: not UTF-8;"),
        (b"{\"one\":1}\n".to_vec(), "leads.jsonl: no column is recognised; the list has `one`."),
        (b"{\"weir_email\":1}\n".to_vec(), "leads.jsonl line 1: there is a column `weir_email` already"),
        (wide.into_bytes(), "leads.jsonl line 1: longer than 1 MiB"),
    ] {
        let refusal = List::new("leads.jsonl", bytes).refusal(&[]);
        assert!(refusal.starts_with(message), "{refusal}\n{message}");
        assert!(!refusal.contains("a@x.test"), "{refusal}");
    }
    let list = List::new("leads.jsonl", "{\"email\":\"a@x.test\"}\n{\"Co\":\"Acme\"}\n");
    assert!(list.scan(&["company=Co"]).is_ok(), "a mapped key need not be in every object");
    assert!(list.refusal(&["company=Firm"]).contains("there is no such column"));
}

#[test]
fn a_line_of_one_mebibyte_is_read() {
    let limit = usize::try_from(LINE_LIMIT).unwrap();
    let address = "a@x.test,";
    let csv = format!("email,note\n{address}{}\n{address}b", "x".repeat(limit - address.len()));
    assert_eq!(List::csv(&csv).scan(&[]).unwrap().counts.rows, 2);
    let (open, close) = ("{\"email\":\"a@x.test\",\"note\":\"", "\"}");
    let json = format!("{open}{}{close}\r\n{{}}", "x".repeat(limit - open.len() - close.len()));
    assert_eq!(List::new("leads.ndjson", json).scan(&[]).unwrap().counts.rows, 2);
}

#[test]
fn a_list_without_a_header_is_refused_without_showing_its_addresses() {
    let refusal = List::csv("Ada,ada@acme.test\nBob,bob@acme.test\n").refusal(&[]);
    assert!(!refusal.contains("ada@"), "{refusal}");
}

#[test]
fn json_keys_are_read_like_columns_and_numbers_like_text() {
    let list = List::new(
        "leads.ndjson",
        "\u{feff}{\"ID\":7,\"Full-Name\":\"Ada\",\"company\":3,\"domain\":null,\"x\":[1]}\n\
         \n{\"email\":[\"a@x.test\"]}\n{\"note\":{},\"website\":\"www.acme.test\",\"last\":\"B\"}\r\n",
    );
    let rows = list.rows(&[], LeadIds::FromColumn);
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0].lead_id.as_str(), "7");
    let first = rows[0].lead.as_ref().unwrap();
    assert_eq!((first.full_name.as_deref(), first.company.as_deref()), (Some("Ada"), Some("3")));
    assert!(matches!(rows[1].lead, Err(Unusable::WrongType(_))));
    assert_eq!(rows[2].lead.as_ref().unwrap().domain.as_deref(), Some("acme.test"));
}

#[test]
fn the_format_is_asked_for_or_told_by_the_name_or_the_first_character() {
    let object = "{\"email\":\"a@x.test\"}\n";
    for (name, bytes, asked, format) in [
        ("leads.csv", "email\na@x.test\n", None, Format::Csv),
        ("leads.NDJSON", object, None, Format::Ndjson),
        ("leads.txt", object, None, Format::Ndjson),
        ("leads", "email\na@x.test\n", None, Format::Csv),
        ("leads.csv", object, Some(Format::Ndjson), Format::Ndjson),
    ] {
        let list = List::new(name, bytes);
        assert_eq!(scan(&list.input(), asked, &Mapping::default(), Need::Lookup).unwrap().format(), format, "{name}");
    }
}

#[test]
fn a_table_is_written_back_with_eight_columns_more() {
    for (input, output) in [
        ("email,x\na@x.test,1\nb@x.test,2\n", format!("email,x,{ADDED}\na@x.test,1,{FOUND}\nb@x.test,2,,,,,,,,\n")),
        ("\u{feff}email,x,x\r\na@x.test,1", format!("email,x,x,{ADDED}\r\na@x.test,1,,{FOUND}\r\n")),
        (
            "email,x\n\n a@x.test ,\"=1, \"\"2\"\"\nb\"\n",
            format!("email,x,{ADDED}\n a@x.test ,\"=1, \"\"2\"\"\nb\",{FOUND}\n"),
        ),
        ("email,x\na@x.test,1,surplus\n", format!("email,x,{ADDED}\na@x.test,1,{FOUND},surplus\n")),
        (
            "email;x\na@x.test;1,5\n",
            format!("email;x,{ADDED}\na@x.test;1#5,{FOUND}\n").replace(',', ";").replace('#', ","),
        ),
    ] {
        assert_eq!(List::csv(input).enriched(), output, "{input:?}");
    }
}

#[test]
fn a_json_object_is_written_back_as_it_came_with_eight_keys_more() {
    let found = "\"weir_status\":\"verified\",\"weir_reason\":\"none\",\"weir_email\":\"ada@acme.test\",\
                 \"weir_email_verdict\":\"valid\",\"weir_found_by\":\"leadmagic\",\"weir_verified_by\":null,\
                 \"weir_cost_usd\":\"0.020500000\",\"weir_attempts\":2}";
    let list = List::new("leads.ndjson", "\u{feff}{ \"email\" : \"a@x.test\", \"n\":1.50 }\r\n\n{ }\n");
    let written = list.enriched();
    let lines: Vec<&str> = written.lines().collect();
    assert_eq!(lines[0], format!("{{ \"email\" : \"a@x.test\", \"n\":1.50 ,{found}"));
    assert!(lines[1].starts_with("{ \"weir_status\":null,"), "{written}");
    assert!(lines[1].ends_with(",\"weir_attempts\":null}"), "{written}");
    assert_eq!(lines.len(), 2);
}

#[test]
fn copy_is_written_behind_each_row_of_a_table_whatever_is_in_it() {
    let added = "weir_status,weir_reason,weir_subject,weir_body,weir_cost_usd,weir_attempts";
    let copy = "written,none,\"Hi, Ada\",\"One \"\"line\"\";\nand another\",0.001234000,2";
    let refused = "failed,refused,,,0.001234000,2";
    let list = List::csv("name,x\nAda,1\nBea,2\nCy,3\n");
    let expected = format!("name,x,{added}\nAda,1,{copy}\nBea,2,{refused}\nCy,3,,,,,,\n");
    assert_eq!(list.drafted(), expected);
}

#[test]
fn copy_is_written_into_each_json_object() {
    let list = List::new("leads.jsonl", "{\"name\":\"Ada\"}\n{\"name\":\"Bea\"}\n{\"name\":\"Cy\"}\n");
    let written = list.drafted();
    let lines: Vec<&str> = written.lines().collect();
    assert_eq!(
        lines,
        [
            "{\"name\":\"Ada\",\"weir_status\":\"written\",\"weir_reason\":\"none\",\"weir_subject\":\"Hi, Ada\",\
             \"weir_body\":\"One \\\"line\\\";\\nand another\",\"weir_cost_usd\":\"0.001234000\",\"weir_attempts\":2}",
            "{\"name\":\"Bea\",\"weir_status\":\"failed\",\"weir_reason\":\"refused\",\"weir_subject\":null,\
             \"weir_body\":null,\"weir_cost_usd\":\"0.001234000\",\"weir_attempts\":2}",
            "{\"name\":\"Cy\",\"weir_status\":null,\"weir_reason\":null,\"weir_subject\":null,\"weir_body\":null,\
             \"weir_cost_usd\":null,\"weir_attempts\":null}",
        ]
    );
}

/// What is written for the first row of a list, by both commands one after the other.
fn chained(name: &'static str, list: &str, copy_first: bool) -> String {
    let write = |list: List, copy: bool| if copy { list.drafted() } else { list.enriched() };
    let between = write(List::new(name, list), copy_first);
    write(List::new(name, between), !copy_first)
}

#[test]
fn the_list_of_one_command_may_be_given_to_the_other_and_no_column_stands_twice() {
    let copy = "written,none,\"Hi, Ada\",\"One \"\"line\"\";\nand another\",0.001234000,2";
    let copied = "weir_copy_status,weir_copy_reason,weir_subject,weir_body,weir_copy_cost_usd,weir_copy_attempts";
    let both = chained("leads.csv", "name,company\nAda,Acme\n", false);
    assert_eq!(both, format!("name,company,{ADDED},{copied}\nAda,Acme,{FOUND},{copy}\n"));

    let drafted = "weir_status,weir_reason,weir_subject,weir_body,weir_cost_usd,weir_attempts";
    let enriched = "weir_enrich_status,weir_enrich_reason,weir_email,weir_email_verdict,weir_found_by,\
                    weir_verified_by,weir_enrich_cost_usd,weir_enrich_attempts";
    let both = chained("leads.csv", "name,company\nAda,Acme\n", true);
    assert_eq!(both, format!("name,company,{drafted},{enriched}\nAda,Acme,{copy},{FOUND}\n"));

    let both = chained("leads.jsonl", "{\"name\":\"Ada\",\"company\":\"Acme\"}\n", false);
    let object: Map<String, Value> = serde_json::from_str(&both).unwrap();
    assert_eq!(object.len(), 2 + 8 + 6, "{both}");
    for (key, value) in [
        ("weir_status", json!("verified")),
        ("weir_copy_status", json!("written")),
        ("weir_attempts", json!(2)),
        ("weir_copy_attempts", json!(2)),
    ] {
        assert_eq!(object[key], value, "{both}");
    }
}

#[test]
fn what_a_command_has_written_is_not_taken_by_it_again_whatever_came_between() {
    let list = "name,company\nAda,Acme\n";
    let refused = |list: String, need: Need| {
        let list = List::csv(&list);
        scan(&list.input(), None, &Mapping::default(), need).unwrap_err().to_string()
    };
    let both = || chained("leads.csv", list, false);
    for (list, need, column) in [
        (List::csv(list).enriched(), Need::Lookup, "weir_status"),
        (List::csv(list).drafted(), Need::Anything, "weir_status"),
        (both(), Need::Lookup, "weir_email"),
        (both(), Need::Anything, "weir_copy_status"),
        ("name,company,weir_copy_status\nAda,Acme,mine\n".to_owned(), Need::Anything, "weir_copy_status"),
    ] {
        let told = refused(list, need);
        assert!(told.contains(&format!("there is a column `{column}` already")), "{told}");
    }
}

#[test]
fn the_address_that_was_found_is_the_leads_where_its_list_had_no_column_for_one() {
    let email = |text: &str| {
        let (_, rows) = List::csv(text).rows_to_write_for();
        rows.into_iter().next().unwrap().lead.unwrap().email
    };
    let found = List::csv("name,company\nAda,Acme\n").enriched();
    assert_eq!(email(&found), Address::parse("ada@acme.test"));
    assert_eq!(email("email,weir_email\na@x.test,ada@acme.test\n"), Address::parse("a@x.test"));
}

#[test]
fn a_list_that_changed_since_the_scan_is_not_written() {
    for changed in ["email\nb@x.test\n", "email\na@x.test\n\n", "email\n\"a", "other\n", ""] {
        let list = List::csv("email\na@x.test\n");
        let scan = list.scan(&[]).unwrap();
        fs::write(list.path("out"), "before").unwrap();
        fs::write(list.path("leads.csv"), changed).unwrap();
        let out = Out::File(list.path("out"));
        let error =
            write_enriched(&list.input(), &scan, &out, |_| Ok::<Option<Enrichment>, ListError>(None)).unwrap_err();
        assert!(matches!(error, ListError::Changed(_)), "{error}");
        assert_eq!(fs::read_to_string(list.path("out")).unwrap(), "before");
        let input = list.input();
        let last = rows(&input, &scan, LeadIds::FromColumn).and_then(|rows| rows.collect::<Result<Vec<_>, _>>());
        assert!(matches!(last, Err(ListError::Changed(_))), "{changed:?}");
        assert_eq!(fs::read_dir(list.folder.path()).unwrap().count(), 2, "no temporary file stays");
    }
}

#[test]
fn a_failure_to_tell_what_was_found_leaves_out_untouched() {
    let list = List::csv("email\na@x.test\n");
    let out = Out::File(list.path("out"));
    let stopped = |_| Err::<Option<Enrichment>, _>(ListError::Changed("stop".to_owned()));
    assert!(write_enriched(&list.input(), &list.scan(&[]).unwrap(), &out, stopped).is_err());
    assert!(!list.path("out").exists());
}

#[test]
fn out_is_checked_before_anything_is_spent() {
    let list = List::csv("email\na@x.test\n");
    fs::write(list.path("old.csv"), "old").unwrap();
    for (out, problem) in [
        (list.path("new.csv"), None),
        (list.path("old.csv"), None),
        (PathBuf::from("-"), None),
        (list.path("leads.csv"), Some("this is the list itself")),
        (list.folder.path().to_owned(), Some("not a regular file")),
        (list.path("nowhere/out.csv"), Some("cannot be written")),
    ] {
        let checked = Out::from(out).check(&list.input()).map_err(|error| error.to_string());
        match problem {
            None => assert_eq!(checked, Ok(())),
            Some(problem) => assert!(checked.unwrap_err().contains(problem)),
        }
    }
    assert_eq!(fs::read_to_string(list.path("old.csv")).unwrap(), "old");
}

#[test]
fn out_is_named_after_the_list() {
    for (list, format, out) in [
        ("a/leads.csv", Format::Csv, "a/leads.enriched.csv"),
        ("leads.tsv", Format::Csv, "leads.enriched.csv"),
        ("my.leads.jsonl", Format::Ndjson, "my.leads.enriched.jsonl"),
        ("leads", Format::Ndjson, "leads.enriched.ndjson"),
    ] {
        assert_eq!(Out::beside(list.as_ref(), "enriched", format), Out::File(PathBuf::from(out)));
    }
}

#[test]
fn only_a_regular_file_is_read_in_place_and_anything_else_is_spooled() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Input::file(folder.path()).unwrap_err().is_bad_input());
    assert!(Input::file(&folder.path().join("missing.csv")).unwrap_err().is_bad_input());
    let spooled = Input::spool("standard input", "email\n\u{1}\n".as_bytes()).unwrap();
    assert_eq!(scan(&spooled, None, &Mapping::default(), Need::Lookup).unwrap().counts.usable, 0);
    let refusal = Input::spool("standard input", &b"email\n\xff\n"[..]);
    let refusal = scan(&refusal.unwrap(), None, &Mapping::default(), Need::Lookup).unwrap_err();
    assert!(refusal.to_string().starts_with("standard input line 2: "), "{refusal}");
}

/// Tables of two to five columns, any text in their cells.
fn tables() -> impl Strategy<Value = Vec<Vec<String>>> {
    let cell = || prop_oneof!["[a-z,;\t\"\r\n =|]{0,6}", "[^\\x00]{0,6}"];
    (2_usize..6).prop_flat_map(move |width| prop::collection::vec(prop::collection::vec(cell(), width), 1..12))
}

proptest! {
    #[test]
    fn any_table_keeps_its_cells_and_their_order(
        rows in tables(),
        delimiter in prop_oneof![Just(b','), Just(b';'), Just(b'\t')],
    ) {
        let mut writer = csv::WriterBuilder::new().delimiter(delimiter).from_writer(Vec::new());
        let header: Vec<&str> = ["email", "b", "c", "d", "e"].into_iter().take(rows[0].len()).collect();
        writer.write_record(&header).unwrap();
        rows.iter().for_each(|row| writer.write_record(row).unwrap());
        let list = List::new("leads.csv", writer.into_inner().unwrap());

        let text = list.enriched();
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(text.as_bytes());
        let read: Vec<Vec<String>> = reader
            .records()
            .map(|record| record.unwrap().iter().take(header.len()).map(str::to_owned).collect())
            .collect();
        prop_assert_eq!(read, rows);
    }
}
