// Package lift measures what a drop changed: who comes back because of a purchase,
// and what a creator gains. It works on counts and moments, so that SQL can supply
// them, and says with every number how strong the evidence is and which words may
// describe it (DOMAIN 4). Nothing here reads data or a clock.
package lift

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Grade is how strong the evidence behind a number is, strongest first (DOMAIN 4.1).
type Grade uint8

const (
	// RandomizedITT (A) compares all who were offered with all who were not, at random.
	RandomizedITT Grade = iota + 1
	// RandomizedCACE (B) scales that to those who bought.
	RandomizedCACE
	// QuasiDID (C) compares changes; its pre-trend test must have passed.
	QuasiDID
	// Matched (D) compares with weighted others who were alike before.
	Matched
	// Descriptive (E) compares as they come.
	Descriptive
)

var grades = [...]struct{ letter, name, wording string }{
	RandomizedITT:  {"A", "randomized_itt", "caused, per offered player"},
	RandomizedCACE: {"B", "randomized_cace", "caused, per purchaser, if the offer acts only through purchase"},
	QuasiDID:       {"C", "quasi_did", "estimated effect, assumes parallel trends"},
	Matched:        {"D", "matched", "adjusted association"},
	Descriptive:    {"E", "descriptive", "purchasers retain more"},
}

func (g Grade) valid() bool { return g >= RandomizedITT && g <= Descriptive }

// String is the name that tables and topics carry, such as quasi_did.
func (g Grade) String() string {
	if !g.valid() {
		return fmt.Sprintf("grade(%d)", uint8(g))
	}
	return grades[g].name
}

// Letter is A for the strongest to E for the weakest.
func (g Grade) Letter() string {
	if !g.valid() {
		return "?"
	}
	return grades[g].letter
}

// ParseGrade reads what String wrote.
func ParseGrade(name string) (Grade, error) {
	for g := RandomizedITT; g <= Descriptive; g++ {
		if grades[g].name == name {
			return g, nil
		}
	}
	return 0, fmt.Errorf("unknown evidence grade %q", name)
}

// ErrWording is what Describe returns for words that the evidence does not carry.
var ErrWording = errors.New("wording beyond the evidence")

var (
	liftWord   = regexp.MustCompile(`(?i)\b(up-?)?lift(s|ed|ing)?\b`)
	effectWord = regexp.MustCompile(`(?i)\b(effects?|impacts?)\b`)
	causeWord  = regexp.MustCompile(`(?i)\b(caus(e|es|ed|al|ally|ing)|because|due to|thanks to)\b`)
)

// Describe returns headline with the grade's own words behind it, the only ones
// allowed for it. It refuses a headline that claims more with ErrWording: grades D and
// E are no lift, effect or cause, grade C is no cause. Every text with a number of
// this package in it goes through here.
func Describe(g Grade, headline string) (string, error) {
	if !g.valid() {
		return "", fmt.Errorf("%w: %q has no evidence grade", ErrWording, headline)
	}
	refused := []*regexp.Regexp{}
	switch g {
	case Descriptive, Matched:
		refused = append(refused, liftWord, effectWord, causeWord)
	case QuasiDID:
		refused = append(refused, causeWord)
	}
	for _, words := range refused {
		if word := words.FindString(headline); word != "" {
			return "", fmt.Errorf("%w: %q says %q on grade %s, which allows %q", ErrWording, headline, word, g, grades[g].wording)
		}
	}
	headline = strings.TrimSpace(headline)
	if headline == "" {
		return grades[g].wording, nil
	}
	return headline + " (" + grades[g].wording + ")", nil
}
