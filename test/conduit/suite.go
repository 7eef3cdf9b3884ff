package conduit

import "testing"

// A Check asks for one promise of the specification.
type Check struct {
	Name string
	run  func(*probe)
}

// Run asks the API that client leads to. Each call of client may return
// another door of the same API. Where doors lead to replicas, the clients must
// share a jar: some reads show one caller what another has just written, and
// without the cookie nothing says how new their answer has to be.
func (c Check) Run(t T, client func() *Client) { c.run(&probe{t, client}) }

// Checks returns all checks. They make their own users, and so may run in any
// order, at once, and again.
func Checks() []Check {
	return []Check{
		{"RegisterLoginAndWhoAmI", checkAccount},
		{"RegistrationIsRefusedForBlankOrTakenNames", checkRegistration},
		{"LoginIsRefusedWithoutTheRightPassword", checkLogin},
		{"UserChangesWhatIsGivenAndNothingElse", checkUpdateUser},
		{"EmptyBioAndImageBecomeNull", checkNullable},
		{"NameAndAddressCannotBeBlanked", checkUpdateUserRefused},
		{"FollowShowsInProfilesAndEndsAgain", checkProfiles},
		{"OperationsThatNeedACallerSayTokenIsMissing", checkTokenMissing},
		{"ABadTokenIsRefused", checkTokenBad},
		{"EitherSchemeNamesTheCaller", checkScheme},
		{"ArticleIsPublishedReadChangedAndDeleted", checkArticle},
		{"ANewTitleBringsANewSlug", checkNewTitle},
		{"ArticlesMayChangeTheirTags", checkArticleTags},
		{"ArticlesNeedTitleDescriptionAndBody", checkArticleRefused},
		{"EqualTitlesGetDistinctSlugs", checkSlugs},
		{"ListsFilterByTagAuthorAndFavorite", checkLists},
		{"ListsGoNewestFirstInPages", checkPages},
		{"FeedShowsWhomOneFollows", checkFeed},
		{"CommentsComeAndGo", checkComments},
		{"FavoritesCountEachUserOnce", checkFavorites},
		{"TagsListWhatArticlesUse", checkTags},
		{"ThingsOfOthersAreForbidden", checkForbidden},
		{"ThingsThatAreNotThereAreNotFound", checkNotFound},
	}
}

// Suite runs all checks as subtests.
func Suite(t *testing.T, client func() *Client) {
	for _, check := range Checks() {
		t.Run(check.Name, func(t *testing.T) { check.Run(t, client) })
	}
}
