//! The people of the world, and the leads that they are.

use crate::domain::Address;
use crate::domain::Lead;
use crate::domain::LeadId;
use crate::jobs::NewLead;
use crate::ledger::LeadNo;
use crate::worker::simulation::dice::Dice;

/// A person, known by a domain of their own.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) domain: String,
    /// Known by their profile alone, which costs more to search by.
    pub(super) by_profile: bool,
    /// Came with an address.
    pub(super) has_address: bool,
}

/// A line of a list; nobody is behind one that cannot be used.
pub(super) type Line = (NewLead, Option<Person>);

/// A list of so many lines. Some persons stand in it twice, some stood in earlier lists of their workspace.
pub(super) fn draw_list(dice: &mut Dice, workspace: &str, lines: u32, known: &mut Vec<Person>) -> Vec<Line> {
    let draw = |n| {
        let person = match dice.below(100) {
            0..6 => None,
            6..18 if !known.is_empty() => Some(known[dice.place(known.len())].clone()),
            _ => {
                let person = Person {
                    domain: format!("p{}.{workspace}.test", known.len()),
                    by_profile: dice.percent(10),
                    has_address: dice.percent(10),
                };
                known.push(person.clone());
                Some(person)
            }
        };
        (NewLead { n: LeadNo(n), id: LeadId::new(format!("lead-{n}")), lead: person.as_ref().map(lead_of) }, person)
    };
    (1..=lines).map(draw).collect()
}

/// The same person is always the same lead.
fn lead_of(person: &Person) -> Lead {
    let Person { domain, by_profile, has_address } = person;
    let email = has_address.then(|| Address::parse(&format!("given@{domain}")).unwrap());
    if *by_profile {
        return Lead { linkedin_url: Some(format!("https://linkedin.test/in/{domain}")), email, ..Lead::default() };
    }
    Lead {
        first_name: Some("Ada".to_owned()),
        last_name: Some("Sample".to_owned()),
        domain: Some(domain.clone()),
        email,
        ..Lead::default()
    }
}
