use measurements::{Summary, parse::parse_measurement, process_data};

#[test]
fn counts_averages_and_finds_the_largest() {
    let measurements: Vec<_> = ["a=1", "b=5"]
        .into_iter()
        .map(|text| parse_measurement(text).unwrap())
        .collect();
    let expected = Summary {
        count: 2,
        mean: 3.0,
        largest: "b".into(),
    };
    assert_eq!(process_data(&measurements), Some(expected));
}

#[test]
fn says_what_is_wrong() {
    assert!(
        parse_measurement("depth")
            .unwrap_err()
            .contains("name=value")
    );
    assert!(
        parse_measurement("depth=deep")
            .unwrap_err()
            .contains("not a number")
    );
}
