package words

import "strings"

// Shout says it loudly.
func Shout(text string) string {
	return strings.ToUpper(text) + "!"
}
