package sql

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// View is a materialized view as the migrations leave it.
type View struct {
	// Name is <target>_from_<source>.
	Name string
	// Target is the table it writes to, Source the one whose inserts it sees.
	Target, Source string
	// Select is its query, Create the whole statement; both without a database name.
	Select, Create string
}

var (
	createView = regexp.MustCompile(`(?is)^CREATE\s+MATERIALIZED\s+VIEW\s+IF\s+NOT\s+EXISTS\s+(\w+)\s+TO\s+(\w+)\s+AS\s+(.+?)(?:\s+COMMENT\s+'(?:[^']|'')*')?$`)
	// A view that refreshes by itself sees no insert: there is nothing to compare with its source.
	refreshed = regexp.MustCompile(`(?is)^CREATE\s+MATERIALIZED\s+VIEW\s+IF\s+NOT\s+EXISTS\s+\w+\s+REFRESH\s`)
	dropView  = regexp.MustCompile(`(?is)^DROP\s+VIEW\s+IF\s+EXISTS\s+(\w+)$`)
	otherView = regexp.MustCompile(`(?is)^(CREATE\s+(OR\s+REPLACE\s+)?MATERIALIZED\s+VIEW|DROP\s+VIEW|ALTER\s+TABLE\s+\w+\s+MODIFY\s+QUERY)\b`)
)

// Views lists the materialized views that all migrations together leave, in
// order of name. A migration changes a view by dropping and creating it; the
// error, if any, is a defect of the build.
func Views() ([]View, error) {
	migrations, err := Migrations()
	if err != nil {
		return nil, err
	}
	return viewsOf(migrations)
}

func viewsOf(migrations []Migration) ([]View, error) {
	views := map[string]View{}
	for _, m := range migrations {
		for i, statement := range m.Statements {
			if match := createView.FindStringSubmatch(statement); match != nil {
				source, ok := strings.CutPrefix(match[1], match[2]+"_from_")
				if !ok {
					return nil, fmt.Errorf("migration %04d_%s, statement %d: view %s is not named %s_from_<source>", m.Version, m.Name, i+1, match[1], match[2])
				}
				views[match[1]] = View{Name: match[1], Target: match[2], Source: source, Select: match[3], Create: statement}
			} else if match := dropView.FindStringSubmatch(statement); match != nil {
				delete(views, match[1])
			} else if otherView.MatchString(statement) && !refreshed.MatchString(statement) {
				return nil, fmt.Errorf("migration %04d_%s, statement %d: write CREATE MATERIALIZED VIEW IF NOT EXISTS … TO … AS, or DROP VIEW IF EXISTS", m.Version, m.Name, i+1)
			}
		}
	}
	list := make([]View, 0, len(views))
	for _, v := range views {
		list = append(list, v)
	}
	slices.SortFunc(list, func(a, b View) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}
