package conduit

const (
	blank = "can't be blank"
	taken = "has already been taken"
)

func checkAccount(p *probe) {
	name := word("u")
	mine := func(r *reply) *reply {
		r.is("user.username", name).is("user.email", name+"@example.test").is("user.bio", nil).is("user.image", nil)
		if r.Text("user.token") == "" {
			p.Fatalf("%v: no token", r.Answer)
		}
		return r
	}
	mine(p.do(p.client(), "POST", "/api/users", object{"user": object{
		"username": name, "email": name + "@example.test", "password": "a pa55word"}}).want(201))
	token := mine(p.do(p.client(), "POST", "/api/users/login", object{"user": object{
		"email": name + "@example.test", "password": "a pa55word"}}).want(200)).Text("user.token")
	mine(p.do(p.client().As(token), "GET", "/api/user", nil).want(200))
}

func checkRegistration(p *probe) {
	u := p.person()
	register := func(name, email, password any) *reply {
		p.Helper()
		return p.do(p.client(), "POST", "/api/users", object{"user": object{"username": name, "email": email, "password": password}})
	}
	other := word("u")
	register("", other+"@example.test", "pa55word").refused(422, "username", blank)
	register(other, "", "pa55word").refused(422, "email", blank)
	register(other, other+"@example.test", "").refused(422, "password", blank)
	register(nil, nil, nil).refused(422, "username", blank).is("errors.email.0", blank).is("errors.password.0", blank)
	register(u.name, other+"@example.test", "pa55word").refused(409, "username", taken).absent("errors.email")
	register(other, u.email, "pa55word").refused(409, "email", taken).absent("errors.username")
	register(u.name, u.email, "pa55word").refused(409, "email", taken).is("errors.username.0", taken)
	p.do(p.client(), "POST", "/api/users", `{"user":`).want(422)
}

func checkLogin(p *probe) {
	u := p.person()
	login := func(email, password string) *reply {
		p.Helper()
		return p.do(p.client(), "POST", "/api/users/login", object{"user": object{"email": email, "password": password}})
	}
	login("", u.password).refused(422, "email", blank)
	login(u.email, "").refused(422, "password", blank)
	login(u.email, "not "+u.password).refused(401, "credentials", "invalid")
	login("nobody-"+u.email, u.password).refused(401, "credentials", "invalid")
	login(u.email, u.password).want(200)
}

func (p *probe) change(u *person, fields object) *reply {
	p.Helper()
	return p.do(u.Client, "PUT", "/api/user", object{"user": fields})
}

func checkUpdateUser(p *probe) {
	u := p.person()
	p.change(u, object{"bio": "I write"}).want(200).
		is("user.bio", "I write").is("user.username", u.name).is("user.email", u.email).is("user.image", nil)
	p.change(u, object{"image": "https://example.test/i.png"}).want(200).
		is("user.bio", "I write").is("user.image", "https://example.test/i.png")
	name := word("u")
	p.change(u, object{"username": name, "email": name + "@example.test", "password": "another one"}).want(200).
		is("user.username", name).is("user.email", name+"@example.test").is("user.bio", "I write")
	p.do(u.Client, "GET", "/api/user", nil).want(200).is("user.username", name).is("user.bio", "I write")
	login := object{"email": name + "@example.test", "password": "another one"}
	p.do(p.client(), "POST", "/api/users/login", object{"user": login}).want(200).is("user.username", name)
}

func checkNullable(p *probe) {
	u := p.person()
	for _, key := range []string{"bio", "image"} {
		for _, empty := range []any{"", nil} {
			p.change(u, object{key: "something"}).want(200).is("user."+key, "something")
			p.change(u, object{key: empty}).want(200).is("user."+key, nil)
			p.do(u.Client, "GET", "/api/user", nil).want(200).is("user."+key, nil)
		}
	}
}

func checkUpdateUserRefused(p *probe) {
	u, other := p.person(), p.person()
	for _, empty := range []any{"", nil} {
		p.change(u, object{"email": empty}).refused(422, "email", blank)
		p.change(u, object{"username": empty}).refused(422, "username", blank)
		p.change(u, object{"password": empty}).refused(422, "password", blank)
	}
	p.change(u, object{"email": other.email}).refused(422, "email", taken)
	p.change(u, object{"username": other.name}).refused(422, "username", taken)
	p.change(u, object{}).want(422)
	p.do(u.Client, "GET", "/api/user", nil).want(200).is("user.email", u.email).is("user.username", u.name)
}

func checkProfiles(p *probe) {
	u, star := p.person(), p.person()
	follows := func(r *reply, yes bool) {
		p.Helper()
		r.want(200).is("profile.username", star.name).is("profile.bio", nil).is("profile.image", nil).is("profile.following", yes)
	}
	path := "/api/profiles/" + star.name
	follows(p.do(p.client(), "GET", path, nil), false)
	follows(p.do(u.Client, "GET", path, nil), false)
	follows(p.do(u.Client, "POST", path+"/follow", nil), true)
	follows(p.do(u.Client, "POST", path+"/follow", nil), true)
	follows(p.do(u.Client, "GET", path, nil), true)
	follows(p.do(p.client(), "GET", path, nil), false)
	follows(p.do(u.Client, "DELETE", path+"/follow", nil), false)
	follows(p.do(u.Client, "DELETE", path+"/follow", nil), false)
	follows(p.do(u.Client, "GET", path, nil), false)
}

func checkTokenMissing(p *probe) {
	for _, op := range [][2]string{
		{"GET", "/api/user"}, {"PUT", "/api/user"},
		{"POST", "/api/profiles/nobody/follow"}, {"DELETE", "/api/profiles/nobody/follow"},
		{"GET", "/api/articles/feed"}, {"POST", "/api/articles"},
		{"PUT", "/api/articles/none"}, {"DELETE", "/api/articles/none"},
		{"POST", "/api/articles/none/comments"}, {"DELETE", "/api/articles/none/comments/1"},
		{"POST", "/api/articles/none/favorite"}, {"DELETE", "/api/articles/none/favorite"},
	} {
		p.do(p.client(), op[0], op[1], nil).refused(401, "token", "is missing")
	}
}

func checkTokenBad(p *probe) {
	u := p.person()
	for _, token := range []string{"none", u.Token + "x", u.Token[1:]} {
		p.do(u.As(token), "GET", "/api/user", nil).want(401)
		p.do(u.As(token), "GET", "/api/articles", nil).want(401)
	}
}

// checkScheme wants both spellings that clients use: the description says
// Token, and some of its own test collections send Bearer.
func checkScheme(p *probe) {
	u := p.person()
	for _, scheme := range []string{"Token", "Bearer"} {
		as := *u.Client
		as.Scheme = scheme
		p.do(&as, "GET", "/api/user", nil).want(200).is("user.username", u.name)
		p.do(&as, "PUT", "/api/user", object{"user": object{"bio": scheme}}).want(200).is("user.bio", scheme)
		p.do(&as, "GET", "/api/articles/feed", nil).want(200).is("articlesCount", 0)
	}
}
