package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/cenkalti/backoff/v5"

	"github.com/droplift/droplift/dashboards"
)

// fakeGrafana behaves as the documented API of Grafana 12, as far as a push goes.
type fakeGrafana struct {
	*httptest.Server
	mu         sync.Mutex
	folders    map[string]string // titles by UID
	dashboards map[string]map[string]any
	inFolder   map[string]string
	messages   map[string][]string // by UID, one a version
	bareList   bool                // versions as before 11.3
	writes     int

	// answer, if not nil, may answer a request itself.
	answer func(w http.ResponseWriter, r *http.Request) bool
}

func newFakeGrafana(t *testing.T) *fakeGrafana {
	f := &fakeGrafana{folders: map[string]string{}, dashboards: map[string]map[string]any{}, inFolder: map[string]string{}, messages: map[string][]string{}}
	for n := range 1000 {
		f.folders[fmt.Sprint("other-", n)] = fmt.Sprint("Other ", n)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sub/api/folders", func(w http.ResponseWriter, r *http.Request) {
		list := []map[string]string{}
		if r.FormValue("page") == "1" {
			for n := range 1000 {
				list = append(list, map[string]string{"uid": fmt.Sprint("other-", n), "title": fmt.Sprint("Other ", n)})
			}
		} else if title, ok := f.folders["made"]; ok {
			list = append(list, map[string]string{"uid": "made", "title": title})
		}
		json.NewEncoder(w).Encode(list)
	})
	mux.HandleFunc("POST /sub/api/folders", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Title string }
		json.NewDecoder(r.Body).Decode(&in)
		f.folders["made"] = in.Title
		f.writes++
		json.NewEncoder(w).Encode(map[string]any{"uid": "made", "title": in.Title})
	})
	mux.HandleFunc("GET /sub/api/dashboards/uid/{uid}", func(w http.ResponseWriter, r *http.Request) {
		uid := r.PathValue("uid")
		if f.dashboards[uid] == nil {
			refuse(w, 404, "", "Dashboard not found")
			return
		}
		model := maps.Clone(f.dashboards[uid])
		model["id"], model["version"] = 7, len(f.messages[uid])
		json.NewEncoder(w).Encode(map[string]any{"dashboard": model, "meta": map[string]any{"folderUid": f.inFolder[uid], "version": len(f.messages[uid])}})
	})
	mux.HandleFunc("GET /sub/api/dashboards/uid/{uid}/versions", func(w http.ResponseWriter, r *http.Request) {
		list := []map[string]any{}
		for i, message := range f.messages[r.PathValue("uid")] {
			list = append(list, map[string]any{"version": i + 1, "message": message})
		}
		if f.bareList {
			json.NewEncoder(w).Encode(list)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"continueToken": "", "versions": list})
	})
	mux.HandleFunc("POST /sub/api/dashboards/db", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Dashboard map[string]any
			FolderUID string
			Message   string
			Overwrite bool
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			refuse(w, 400, "", err.Error())
			return
		}
		uid := in.Dashboard["uid"].(string)
		f.save(w, uid, in.Dashboard, in.FolderUID, in.Message, in.Overwrite)
	})
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer s3cret" {
			refuse(w, 401, "", "Invalid API key")
			return
		}
		if f.answer == nil || !f.answer(w, r) {
			mux.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(f.Close)
	return f
}

func refuse(w http.ResponseWriter, code int, status, message string) {
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(map[string]string{"status": status, "message": message})
}

// save is optimistic: who overwrites a version must have seen it.
func (f *fakeGrafana) save(w http.ResponseWriter, uid string, model map[string]any, folder, message string, overwrite bool) {
	if _, ok := f.folders[folder]; !ok {
		refuse(w, 404, "not-found", "folder not found")
		return
	}
	if seen, _ := model["version"].(float64); f.dashboards[uid] != nil && int(seen) != len(f.messages[uid]) && !overwrite {
		refuse(w, 412, "version-mismatch", "The dashboard has been changed by someone else")
		return
	}
	f.writes++
	f.dashboards[uid], f.inFolder[uid] = model, folder
	f.messages[uid] = append(f.messages[uid], message)
	json.NewEncoder(w).Encode(map[string]any{"uid": uid, "status": "success", "version": len(f.messages[uid])})
}

// push is one run of the command.
func (f *fakeGrafana) push(t *testing.T, command DashboardsPushCmd) (string, error) {
	t.Helper()
	all, err := dashboards.All()
	if err != nil {
		t.Fatal(err)
	}
	client := newGrafana(f.URL+"/sub/", "s3cret")
	client.wait = &backoff.ZeroBackOff{}
	command.Folder = "Droplift 🎉"
	var out bytes.Buffer
	err = command.push(context.Background(), &out, client, all)
	return out.String(), err
}

func TestDashboardsPush(t *testing.T) {
	for _, bareList := range []bool{false, true} {
		f := newFakeGrafana(t)
		f.bareList = bareList
		all, err := dashboards.All()
		if err != nil {
			t.Fatal(err)
		}
		step := func(what string, command DashboardsPushCmd, writes int, outcome string, problem string) string {
			t.Helper()
			before := f.writes
			out, err := f.push(t, command)
			if (err == nil) != (problem == "") || err != nil && !strings.Contains(err.Error(), problem) {
				t.Errorf("%s: %v", what, err)
			}
			if got := f.writes - before; got != writes {
				t.Errorf("%s: %d writes, want %d", what, got, writes)
			}
			lines := 0
			for line := range strings.Lines(out) {
				if strings.HasPrefix(line, outcome+" ") && strings.Contains(line, f.URL+"/sub/d/droplift-") {
					lines++
				}
			}
			if lines == 0 {
				t.Errorf("%s: nothing is %s in\n%s", what, outcome, out)
			}
			return out
		}
		n := len(all)
		if out := step("a first look", DashboardsPushCmd{DryRun: true}, 0, wouldCreate, ""); !strings.Contains(out, `+  "title": "Drop live"`) {
			t.Errorf("the difference to nothing is\n%.500s", out)
		}
		step("the first push", DashboardsPushCmd{}, n+1, created, "")
		if f.folders["made"] != "Droplift 🎉" || f.inFolder["droplift-drop-live"] != "made" {
			t.Errorf("the folder is %q, the dashboard in %q", f.folders["made"], f.inFolder["droplift-drop-live"])
		}
		step("another push", DashboardsPushCmd{}, 0, unchanged, "")
		step("another look", DashboardsPushCmd{DryRun: true}, 0, unchanged, "")

		// An older Droplift's dashboard is replaced.
		f.messages["droplift-pipeline"][0] = pushMark + "0123"
		f.dashboards["droplift-pipeline"]["title"] = "Old"
		if out := step("a look at an update", DashboardsPushCmd{DryRun: true}, 0, wouldUpdate, ""); !strings.Contains(out, "-  \"title\": \"Old\"") ||
			!strings.Contains(out, "+  \"title\": \"Pipeline\"") || strings.Contains(out, `"id": 7`) || strings.Count(out, "\n") > 20+n {
			t.Errorf("the difference is\n%s", out)
		}
		step("an update", DashboardsPushCmd{}, 1, updated, "")

		// So is one that someone has moved, but what someone has saved in Grafana is theirs.
		f.inFolder["droplift-pipeline"] = "other-1"
		step("a moved one", DashboardsPushCmd{}, 1, updated, "")
		f.messages["droplift-pipeline"] = append(f.messages["droplift-pipeline"], "my own colours")
		f.dashboards["droplift-pipeline"]["title"] = "Mine"
		step("a changed one", DashboardsPushCmd{}, 0, changedByHand, "--overwrite")
		if out := step("a look at a changed one", DashboardsPushCmd{DryRun: true}, 0, changedByHand, "--overwrite"); !strings.Contains(out, "-  \"title\": \"Mine\"") {
			t.Errorf("the difference is\n%s", out)
		}
		step("a look before overwriting", DashboardsPushCmd{DryRun: true, Overwrite: true}, 0, wouldUpdate, "")
		step("overwriting", DashboardsPushCmd{Overwrite: true}, 1, updated, "")
		step("after all that", DashboardsPushCmd{}, 0, unchanged, "")
	}
}

// A Grafana that is busy, or whose answer gets lost, is asked again; nothing is written twice.
func TestDashboardsPushRetries(t *testing.T) {
	f := newFakeGrafana(t)
	tries := map[string]int{}
	f.answer = func(w http.ResponseWriter, r *http.Request) bool {
		key := r.Method + r.URL.Path
		tries[key]++
		switch {
		case tries[key] == 1:
			refuse(w, 503, "", "starting")
		case tries[key] == 2 && r.Method == http.MethodGet:
			refuse(w, 429, "", "slow down")
		default:
			return false
		}
		return true
	}
	if out, err := f.push(t, DashboardsPushCmd{}); err != nil {
		t.Errorf("%v\n%s", err, out)
	}

	// The save is done, but says 502: the next attempt meets its own version.
	f = newFakeGrafana(t)
	lost := false
	f.answer = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost || r.URL.Path != "/sub/api/dashboards/db" || lost {
			return false
		}
		lost = true
		var in struct {
			Dashboard map[string]any
			FolderUID string
			Message   string
		}
		json.NewDecoder(r.Body).Decode(&in)
		f.save(httptest.NewRecorder(), in.Dashboard["uid"].(string), in.Dashboard, in.FolderUID, in.Message, false)
		refuse(w, 502, "", "bad gateway")
		return true
	}
	if out, err := f.push(t, DashboardsPushCmd{}); err != nil || len(f.messages["droplift-drop-live"]) != 1 {
		t.Errorf("%v, versions %v\n%s", err, f.messages["droplift-drop-live"], out)
	}

	f = newFakeGrafana(t)
	asked := 0
	f.answer = func(w http.ResponseWriter, r *http.Request) bool {
		asked++
		refuse(w, 500, "", "disk full")
		return true
	}
	if _, err := f.push(t, DashboardsPushCmd{}); err == nil || !strings.Contains(err.Error(), "disk full") || asked != 5 {
		t.Errorf("a Grafana that stays broken, asked %d times: %v", asked, err)
	}
}

func TestDashboardsPushErrors(t *testing.T) {
	for name, c := range map[string]struct {
		code            int
		status, message string
		on              string
		want            string
	}{
		"no right":            {403, "", "You'll need additional permissions", "GET /sub/api/folders", "role Editor"},
		"no Grafana":          {404, "", "Not found", "GET /sub/api/folders", "check --grafana"},
		"changed meanwhile":   {412, "version-mismatch", "The dashboard has been changed by someone else", "POST /sub/api/dashboards/db", "push again"},
		"title is taken":      {412, "name-exists", "A dashboard with the same name", "POST /sub/api/dashboards/db", "--folder"},
		"it is provisioned":   {400, "", "Cannot save provisioned dashboard", "POST /sub/api/dashboards/db", "provisioned"},
		"the folder is gone":  {404, "not-found", "folder not found", "POST /sub/api/dashboards/db", "folder not found"},
		"no right to folders": {403, "", "Access denied", "POST /sub/api/folders", "role Editor"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeGrafana(t)
			f.answer = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method+" "+r.URL.Path != c.on {
					return false
				}
				refuse(w, c.code, c.status, c.message)
				return true
			}
			_, err := f.push(t, DashboardsPushCmd{})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.message) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("got %v", err)
			}
		})
	}
	f := newFakeGrafana(t)
	ctx := context.Background()
	if _, err := newGrafana(f.URL+"/sub", "wrong").folder(ctx, "x"); err == nil || !strings.Contains(err.Error(), "token is not valid") || strings.Contains(err.Error(), "wrong") {
		t.Errorf("another token: %v", err)
	}
	f.answer = func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, "https://example.com/login", http.StatusFound)
		return true
	}
	if _, err := f.push(t, DashboardsPushCmd{}); err == nil || !strings.Contains(err.Error(), "https://example.com/login") {
		t.Errorf("a redirect: %v", err)
	}
	f.answer = func(w http.ResponseWriter, r *http.Request) bool {
		fmt.Fprint(w, "<html>")
		return true
	}
	if _, err := f.push(t, DashboardsPushCmd{}); err == nil || !strings.Contains(err.Error(), "check --grafana") {
		t.Errorf("a web page: %v", err)
	}

	for _, bad := range []string{"", "grafana.example.com", "ftp://a", "http://", "https://admin:pw@grafana.example.com"} {
		if err := (&DashboardsPushCmd{Grafana: bad}).Validate(); err == nil || strings.Contains(err.Error(), "pw") {
			t.Errorf("--grafana %q: %v", bad, err)
		}
	}
	t.Setenv("DROPLIFT_GRAFANA_TOKEN", "")
	if err := (&DashboardsPushCmd{Grafana: f.URL}).Run(ctx); err == nil || !strings.Contains(err.Error(), "--token-file") {
		t.Errorf("no token: %v", err)
	}
	if err := (&DashboardsPushCmd{Grafana: "https://grafana.example.com/g"}).Validate(); err != nil {
		t.Error(err)
	}
}
