//! From the command line to a brief, or to what is wrong with it.

use crate::cli::BadInput;
use crate::cli::copy::Args;
use crate::config::Live;
use crate::domain::Brief;
use crate::messages::INSTRUCTIONS_LIMIT;
use crate::messages::URLS_LIMIT;
use crate::messages::page_problem;
use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;

/// Everything that can be wrong with a brief, before anything else is looked at.
pub(super) fn brief(args: &Args, live: &Live) -> Result<Brief, BadInput> {
    check_model(&args.model, live)?;
    check_pages(&args.pages)?;
    Ok(Brief {
        purpose: args.purpose,
        model: args.model.clone(),
        max_output_tokens: args.max_output_tokens,
        instructions: read_instructions(&args.instructions)?,
        pages: args.pages.clone(),
    })
}

fn check_model(model: &str, live: &Live) -> Result<(), BadInput> {
    if live.models.contains_key(model) {
        return Ok(());
    }
    let names = live.models.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let how = if names.is_empty() { "add one under [models]".to_owned() } else { format!("there are: {names}") };
    Err(BadInput(format!("--model {model}: the configuration has no such model; {how}")))
}

fn check_pages(pages: &[String]) -> Result<(), BadInput> {
    if pages.len() > URLS_LIMIT {
        return Err(BadInput(format!("--scrape: at most {URLS_LIMIT} pages are read for a lead; name fewer")));
    }
    pages.iter().try_for_each(|page| check_page(page))
}

fn check_page(page: &str) -> Result<(), BadInput> {
    match page_problem(page) {
        Some(problem) => Err(BadInput(format!("--scrape {page}: {problem}"))),
        None => Ok(()),
    }
}

/// What the file says, without spaces around it.
fn read_instructions(path: &Path) -> Result<String, BadInput> {
    let refuse = |problem: &str| BadInput(format!("--instructions {}: {problem}", path.display()));
    let bytes = read_at_most(path, INSTRUCTIONS_LIMIT.saturating_add(1))
        .map_err(|cause| refuse(&format!("cannot be read: {cause}")))?;
    if bytes.len() > INSTRUCTIONS_LIMIT {
        return Err(refuse("longer than 32 KiB, the most a model is told; shorten it"));
    }
    let text = String::from_utf8(bytes).map_err(|_| refuse("not UTF-8; save it as UTF-8"))?;
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Err(refuse("empty; say what is to be written"));
    }
    if text.contains('\0') {
        return Err(refuse("not a text file (it holds NUL bytes)"));
    }
    Ok(text.to_owned())
}

fn read_at_most(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(u64::try_from(most).unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;
    use crate::domain::Purpose;
    use clap::Parser;
    use expect_test::expect;
    use std::fs;
    use std::sync::Arc;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn live() -> Arc<Live> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        load(Some(&folder), &|_| None, &[]).unwrap().live
    }

    /// What `weir copy leads.csv --instructions FILE` makes of a file and the rest of the line. A message
    /// is told without its folder, which differs from run to run.
    fn brief_of(instructions: &[u8], line: &[&str]) -> Result<Brief, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("brief.txt");
        fs::write(&file, instructions).unwrap();
        let start = ["copy", "leads.csv", "--instructions", file.to_str().unwrap()];
        let line = Line::try_parse_from(start.iter().chain(line)).map_err(|error| error.to_string())?;
        let told = brief(&line.args, &live()).map_err(|error| error.to_string());
        told.map_err(|error| error.replace(&format!("{}/", folder.path().display()), ""))
    }

    const MODEL: &str = "--model=gpt-5.4-mini";

    #[test]
    fn a_brief_is_what_the_line_and_the_file_say() {
        let brief = brief_of(b"\xef\xbb\xbf Write to {first_name}.\n", &[MODEL]).unwrap();
        let expected = Brief {
            purpose: Purpose::Live,
            model: "gpt-5.4-mini".to_owned(),
            max_output_tokens: 400,
            instructions: "Write to {first_name}.".to_owned(),
            pages: Vec::new(),
        };
        assert!(brief == expected, "{brief:?}");
        let line =
            [MODEL, "--purpose=warmup", "--max-output-tokens=9", "--scrape=https://{domain}", "--scrape=http://a"];
        let brief = brief_of(b"Write.", &line).unwrap();
        assert_eq!((brief.purpose, brief.max_output_tokens), (Purpose::Warmup, 9));
        assert_eq!(brief.pages, ["https://{domain}", "http://a"]);
    }

    #[test]
    fn what_is_wrong_is_told_with_what_would_be_right() {
        let mut told = String::new();
        for (instructions, line) in [
            (b"Write.".as_slice(), vec!["--model=gpt-1"]),
            (b" \n".as_slice(), vec![MODEL]),
            (b"\xff".as_slice(), vec![MODEL]),
            (b"a\0b".as_slice(), vec![MODEL]),
            (b"Write.".as_slice(), vec![MODEL, "--scrape=https://{domain}/{team}"]),
            (b"Write.".as_slice(), vec![MODEL, "--scrape=https://{Domain}"]),
            (b"Write.".as_slice(), vec![MODEL, "--scrape=ftp://{domain}"]),
            (b"Write.".as_slice(), vec![MODEL, "--scrape={linkedin_url}"]),
            (b"Write.".as_slice(), vec![MODEL, "--scrape=https://"]),
            (b"Write.".as_slice(), vec![MODEL, "--scrape=https://acme.test/a b"]),
        ] {
            told += &format!("{}\n", brief_of(instructions, &line).unwrap_err());
        }
        assert!(told.starts_with("--model gpt-1: the configuration has no such model; there are: "), "{told}");
        assert!(told.contains("gpt-5.4-mini"), "{told}");
        let rest = told.split_once('\n').unwrap().1;
        expect![[r#"
            --instructions brief.txt: empty; say what is to be written
            --instructions brief.txt: not UTF-8; save it as UTF-8
            --instructions brief.txt: not a text file (it holds NUL bytes)
            --scrape https://{domain}/{team}: names {team}, which no lead has: there are lead_id, first_name, last_name, full_name, company, domain, linkedin_url, email
            --scrape https://{Domain}: names {Domain}, which no lead has: there are lead_id, first_name, last_name, full_name, company, domain, linkedin_url, email
            --scrape ftp://{domain}: must be an address that begins with https:// or http://
            --scrape {linkedin_url}: must be an address that begins with https:// or http://
            --scrape https://: must be the address of a page, like https://{domain}/about, without spaces
            --scrape https://acme.test/a b: must be the address of a page, like https://{domain}/about, without spaces
        "#]]
        .assert_eq(rest);
    }

    #[test]
    fn a_line_without_model_or_instructions_or_with_odd_numbers_is_refused() {
        for line in [
            vec![],
            vec![MODEL, "--purpose=cold"],
            vec![MODEL, "--max-output-tokens=0"],
            vec![MODEL, "--max-output-tokens=1000001"],
        ] {
            assert!(brief_of(b"Write.", &line).is_err(), "{line:?}");
        }
        assert!(Line::try_parse_from(["copy", "leads.csv", MODEL]).is_err());
        let missing = Line::try_parse_from(["copy", "leads.csv", MODEL, "--instructions=no/such/file"]).unwrap();
        let told = brief(&missing.args, &live()).unwrap_err().to_string();
        assert!(told.starts_with("--instructions no/such/file: cannot be read: "), "{told}");
    }

    #[test]
    fn as_much_is_taken_as_a_message_may_hold() {
        let is_taken = |length: usize, pages: usize| {
            let line = [vec![MODEL], vec!["--scrape=https://acme.test"; pages]].concat();
            brief_of("x".repeat(length).as_bytes(), &line).is_ok()
        };
        assert!(is_taken(INSTRUCTIONS_LIMIT, URLS_LIMIT));
        assert!(!is_taken(INSTRUCTIONS_LIMIT + 1, URLS_LIMIT));
        assert!(!is_taken(INSTRUCTIONS_LIMIT, URLS_LIMIT + 1));
    }
}
