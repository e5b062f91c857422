use std::process::ExitCode;

use measurements::{parse::parse_measurement, process_data};

fn main() -> ExitCode {
    match report(std::env::args().skip(1)) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// Gives one line of text about measurements written as `name=value`.
fn report(arguments: impl Iterator<Item = String>) -> Result<String, String> {
    let measurements = arguments
        .map(|text| parse_measurement(&text))
        .collect::<Result<Vec<_>, _>>()?;
    let summary = process_data(&measurements).ok_or("There are no measurements to sum up.")?;
    Ok(format!(
        "{} measurements, mean {:.2}, largest {}",
        summary.count, summary.mean, summary.largest
    ))
}
