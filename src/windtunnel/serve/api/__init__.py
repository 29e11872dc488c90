"""The OpenAI API over HTTP: what is asked, what is answered, and what is refused; whoever makes the tokens is a back end."""
