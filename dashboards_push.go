package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aymanbagabas/go-udiff"
	"github.com/cenkalti/backoff/v5"

	"github.com/droplift/droplift/dashboards"
)

// DashboardsPushCmd writes the dashboards into a Grafana that is there already.
type DashboardsPushCmd struct {
	Grafana   string `help:"URL of the Grafana, with its sub-path if it has one." required:"" placeholder:"URL"`
	TokenFile string `help:"File that holds a service account's token (or set DROPLIFT_GRAFANA_TOKEN)." placeholder:"FILE"`
	Folder    string `help:"Title of the folder, made if there is none." default:"Droplift"`
	DryRun    bool   `help:"Write nothing: print what would change."`
	Overwrite bool   `help:"Also replace dashboards that were changed in Grafana."`
}

// Help is shown by --help.
func (c *DashboardsPushCmd) Help() string {
	return "The token is a service account's with the role Editor. Dashboards that someone has changed in Grafana are left alone " +
		"unless --overwrite is given; their change is then a version in Grafana's history.\n\n" +
		"Example:\n\n  DROPLIFT_GRAFANA_TOKEN=glsa_… droplift dashboards push --grafana https://grafana.example.com --dry-run"
}

// Validate is called by the parser.
func (c *DashboardsPushCmd) Validate() error {
	u, err := url.Parse(c.Grafana)
	if err == nil && u.User != nil {
		return errors.New("--grafana: give a token in a file or the environment, not a password in the URL")
	}
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("--grafana: %q is not http://HOST:PORT or https://HOST", c.Grafana)
	}
	return nil
}

// Run writes the dashboards.
func (c *DashboardsPushCmd) Run(ctx context.Context) error {
	token, err := secret("DROPLIFT_GRAFANA_TOKEN", c.TokenFile)
	if err != nil {
		return err
	}
	if token == "" {
		return errors.New("no token: name its file in --token-file, or set DROPLIFT_GRAFANA_TOKEN (Grafana: Administration, Users and access, Service accounts; role Editor)")
	}
	all, err := dashboards.All()
	if err != nil {
		return err
	}
	return c.push(ctx, os.Stdout, newGrafana(c.Grafana, token), all)
}

// push writes the dashboards one by one, and says of each what became of it.
func (c *DashboardsPushCmd) push(ctx context.Context, out io.Writer, g *grafana, all []dashboards.Dashboard) error {
	folder, err := g.folder(ctx, c.Folder)
	if err != nil {
		return err
	}
	if folder == "" && !c.DryRun {
		if folder, err = g.makeFolder(ctx, c.Folder); err != nil {
			return err
		}
	}
	var leftAlone []string
	for _, d := range all {
		outcome, err := c.pushOne(ctx, out, g, folder, d)
		if err != nil {
			return fmt.Errorf("dashboard %q: %w", d.Title(), err)
		}
		if outcome == changedByHand {
			leftAlone = append(leftAlone, d.Title())
		}
		fmt.Fprintf(out, "%-14s %s  %s/d/%s\n", outcome, d.Title(), g.url, d.UID())
	}
	if leftAlone != nil {
		return fmt.Errorf("changed in Grafana and left alone: %s; --dry-run shows the difference, --overwrite replaces them", strings.Join(leftAlone, ", "))
	}
	return nil
}

// What becomes of a dashboard.
const (
	created       = "created"
	updated       = "updated"
	unchanged     = "unchanged"
	wouldCreate   = "would create"
	wouldUpdate   = "would update"
	changedByHand = "left alone"
)

func (c *DashboardsPushCmd) pushOne(ctx context.Context, out io.Writer, g *grafana, folder string, d dashboards.Dashboard) (string, error) {
	text, err := d.JSON()
	if err != nil {
		return "", err
	}
	message := pushMark + fmt.Sprintf("%x", sha256.Sum256(text))
	there, err := g.dashboard(ctx, d.UID())
	if err != nil {
		return "", err
	}
	// Whoever saves a dashboard in Grafana writes another message, so that the newest version's says whose it is.
	byHand := there != nil && !strings.HasPrefix(there.message, pushMark)
	switch {
	case there != nil && there.message == message && there.folder == folder:
		return unchanged, nil
	case c.DryRun:
		if err := difference(out, there, text); err != nil {
			return "", err
		}
		switch {
		case byHand && !c.Overwrite:
			return changedByHand, nil
		case there != nil:
			return wouldUpdate, nil
		}
		return wouldCreate, nil
	case byHand && !c.Overwrite:
		return changedByHand, nil
	}

	var model map[string]any
	if err := json.Unmarshal(text, &model); err != nil {
		return "", err
	}
	model["id"] = nil
	if there != nil {
		model["version"] = there.version
	}
	request := map[string]any{"dashboard": model, "folderUid": folder, "message": message, "overwrite": c.Overwrite}
	if err := g.call(ctx, http.MethodPost, "/api/dashboards/db", request, nil); err != nil {
		// An attempt whose answer was lost may have written it already.
		if now, lookErr := g.dashboard(ctx, d.UID()); lookErr != nil || now == nil || now.message != message || now.folder != folder {
			return "", err
		}
	}
	if there == nil {
		return created, nil
	}
	return updated, nil
}

// pushMark begins the messages of the versions that push writes; what follows is the SHA-256 of the dashboard.
const pushMark = "droplift dashboards push, sha256:"

// difference prints what a push would change, as a unified diff of JSON in one order of keys.
func difference(out io.Writer, there *stored, text []byte) error {
	before := ""
	if there != nil {
		delete(there.model, "id")
		delete(there.model, "version")
		ordered, err := json.MarshalIndent(there.model, "", "  ")
		if err != nil {
			return err
		}
		before = string(ordered) + "\n"
	}
	var model map[string]any
	if err := json.Unmarshal(text, &model); err != nil {
		return err
	}
	after, err := json.MarshalIndent(model, "", "  ")
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, udiff.Unified("grafana", "droplift", before, string(after)+"\n"))
	return err
}

// grafana is a client of Grafana's HTTP API.
type grafana struct {
	url, token string
	wait       backoff.BackOff // between attempts
	http       http.Client
}

func newGrafana(url, token string) *grafana {
	return &grafana{
		url: strings.TrimSuffix(url, "/"), token: token, wait: backoff.NewExponentialBackOff(),
		// Following a redirect would turn a POST into a GET.
		http: http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
}

// grafanaError is an answer that is not a success.
type grafanaError struct {
	code            int
	status, message string // as Grafana words it
}

// Error says what to do about it, too.
func (e *grafanaError) Error() string {
	fix := map[int]string{
		http.StatusUnauthorized:       "the token is not valid (any more): make one for a service account with the role Editor",
		http.StatusForbidden:          "the token's service account may not do this: give it the role Editor",
		http.StatusNotFound:           "this is no Grafana's API: check --grafana, with its sub-path",
		http.StatusPreconditionFailed: "it has changed in Grafana meanwhile: push again, or with --overwrite",
	}[e.code]
	if e.status == "name-exists" {
		fix = "another dashboard has the title: rename it in Grafana, or push to another --folder"
	}
	text := fmt.Sprintf("Grafana answers %d: %s", e.code, e.message)
	if fix != "" {
		text += "; " + fix
	}
	return text
}

// call asks one thing, in JSON, and again while Grafana is overloaded or starting.
func (g *grafana) call(ctx context.Context, method, path string, in, answer any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		return struct{}{}, g.attempt(ctx, method, path, body, answer)
	}, backoff.WithBackOff(g.wait), backoff.WithMaxTries(5))
	return err
}

// attempt asks once; what another attempt would not mend is permanent.
func (g *grafana) attempt(ctx context.Context, method, path string, body []byte, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, g.url+path, bytes.NewReader(body))
	if err != nil {
		return backoff.Permanent(err)
	}
	request.Header.Set("Authorization", "Bearer "+g.token)
	request.Header.Set("Accept", "application/json")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := g.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 32<<20))
	if err != nil {
		return err
	}
	if response.StatusCode == http.StatusOK {
		if answer == nil {
			return nil
		}
		if err := json.Unmarshal(text, answer); err != nil {
			return backoff.Permanent(fmt.Errorf("%s%s answers no JSON of Grafana's: check --grafana (%w)", g.url, path, err))
		}
		return nil
	}
	failure := &grafanaError{code: response.StatusCode, message: http.StatusText(response.StatusCode)}
	if to := response.Header.Get("Location"); to != "" {
		failure.message += " to " + to + ": give what it redirects to as --grafana"
	}
	var said struct{ Status, Message string }
	if json.Unmarshal(text, &said) == nil && said.Message != "" {
		failure.status, failure.message = said.Status, said.Message
	}
	if failure.code != http.StatusTooManyRequests && failure.code < 500 {
		return backoff.Permanent(failure)
	}
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
		return fmt.Errorf("%w (%w)", failure, backoff.RetryAfter(seconds))
	}
	return failure
}

// stored is a dashboard as Grafana has it.
type stored struct {
	model   map[string]any
	version int64
	folder  string
	message string // of its newest version
}

// dashboard is nil if there is none.
func (g *grafana) dashboard(ctx context.Context, uid string) (*stored, error) {
	var found struct {
		Dashboard map[string]any
		Meta      struct {
			FolderUID string
			Version   int64
		}
	}
	path := "/api/dashboards/uid/" + uid
	var failure *grafanaError
	if err := g.call(ctx, http.MethodGet, path, nil, &found); errors.As(err, &failure) && failure.code == http.StatusNotFound {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	versions, err := g.versions(ctx, path)
	if err != nil {
		return nil, err
	}
	s := &stored{model: found.Dashboard, version: found.Meta.Version, folder: found.Meta.FolderUID}
	for _, v := range versions {
		if v.Version == s.version {
			s.message = v.Message
		}
	}
	return s, nil
}

type dashboardVersion struct {
	Version int64
	Message string
}

// versions are the newest ones. Grafana before 11.3 answers a bare list.
func (g *grafana) versions(ctx context.Context, path string) ([]dashboardVersion, error) {
	var text json.RawMessage
	if err := g.call(ctx, http.MethodGet, path+"/versions?limit=10", nil, &text); err != nil {
		return nil, err
	}
	var list []dashboardVersion
	if json.Unmarshal(text, &list) == nil {
		return list, nil
	}
	var page struct{ Versions []dashboardVersion }
	err := json.Unmarshal(text, &page)
	return page.Versions, err
}

// folder is the UID of the top folder with this title, or empty.
func (g *grafana) folder(ctx context.Context, title string) (string, error) {
	const limit = 1000
	for page := 1; ; page++ {
		var folders []struct{ UID, Title string }
		if err := g.call(ctx, http.MethodGet, fmt.Sprintf("/api/folders?limit=%d&page=%d", limit, page), nil, &folders); err != nil {
			return "", err
		}
		for _, f := range folders {
			if f.Title == title {
				return f.UID, nil
			}
		}
		if len(folders) < limit {
			return "", nil
		}
	}
}

func (g *grafana) makeFolder(ctx context.Context, title string) (string, error) {
	var made struct{ UID string }
	err := g.call(ctx, http.MethodPost, "/api/folders", map[string]string{"title": title}, &made)
	return made.UID, err
}
