/// Writes a value with a width.
pub fn render<T: ToString>(value: T, width: usize) -> String {
    format!("{:>width$}", value.to_string())
}
