"""The laboratory: forced likelihoods, choices and layers equal transformers' over the same sequence; what a choice was
drawn from equals what sampling draws; and nothing that is kept of the conversation changes."""

import threading

import numpy as np
import pytest
import torch
from test_attention import CHATS, GREEDY, SEVERAL_WORDS, answer, eager_inputs, longest

from qwen2vl_demo.engine.attention import extend_prompt
from qwen2vl_demo.engine.local import LocalEngine
from qwen2vl_demo.engine.protocol import GenerationOptions
from qwen2vl_demo.errors import UserError
from qwen2vl_demo.processing.tokenizer import StreamDecoder


@pytest.fixture(scope="module")
def warm(checkpoint):
    """An engine that has answered every question here."""
    engine = LocalEngine.load(str(checkpoint), device="cpu", dtype="float32")
    for chat in ("words", "picture", "pictures", "picture and clip"):
        answer(engine, CHATS[chat])
    return engine


@pytest.fixture
def cold(checkpoint):
    return LocalEngine.load(str(checkpoint), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def theirs(checkpoint):
    """transformers with eager attention, on the same files."""
    import transformers

    return transformers.Qwen2VLForConditionalGeneration.from_pretrained(
        checkpoint, dtype=torch.float32, attn_implementation="eager"
    ).eval()


@torch.no_grad()
def reference(theirs, engine, messages, ids):
    """Its output over prompt and answer in one pass."""
    return theirs(**eager_inputs(engine, messages, ids), output_attentions=True, output_hidden_states=True)


@pytest.mark.parametrize("chat", ["words", "picture and clip"])
def test_a_forced_pass_equals_transformers(warm, cold, theirs, chat):
    """Log-probabilities and the attention on some tokens, with the prompt in the cache and without."""
    messages = CHATS[chat]
    prompt = warm.prompt(messages, GREEDY)
    watched = range(4, 9) if not prompt.trace.media else range(*prompt.trace.media[0].span)[3:7]
    found = [engine.laboratory().likelihood(prompt, SEVERAL_WORDS, watched) for engine in (warm, cold)]
    ids, exact = warm.answer_ids(prompt.trace, SEVERAL_WORDS)
    output = reference(theirs, warm, messages, ids)
    places = slice(len(prompt.trace) - 1, -1)
    likely = output.logits[0, places].log_softmax(-1)[range(len(ids)), ids]
    attention = torch.stack(output.attentions)[:, 0, :, places].mean((0, 1))[:, list(watched)].sum(-1)
    for one in found:
        np.testing.assert_allclose(one.log_probabilities, likely.numpy(), atol=2e-4)
        np.testing.assert_allclose(one.shares, attention.numpy(), atol=1e-5)
        assert [word.text for word in one.words] == ["There", "are", "3", "red", "stars", "."]
        assert one.exact_tokens == exact is False


@pytest.mark.parametrize("way", ["left_out", "grey"])
def test_what_is_read_from_the_cache_changes_no_hidden_pass(warm, cold, way):
    """The likelihood without nothing is the likelihood, and a region in the second picture gives the same from a cold
    engine, whose caches are made for it, as from a warm one."""
    messages = CHATS["pictures"]
    prompt = warm.prompt(messages, GREEDY)
    start, _ = prompt.trace.media[1].span
    whole = warm.laboratory().likelihood(prompt, SEVERAL_WORDS).log_probabilities
    np.testing.assert_allclose(warm.laboratory().likelihood_without(prompt, SEVERAL_WORDS, (), way), whole, atol=2e-4)
    one, other = (
        engine.laboratory().likelihood_without(prompt, SEVERAL_WORDS, [start + 2, start + 5], way)
        for engine in (warm, cold)
    )
    np.testing.assert_allclose(one, other, atol=2e-4)
    assert np.abs(one - whole).max() > 1e-3


def test_only_merged_tokens_are_hidden(warm):
    engine, messages = warm, CHATS["picture"]
    with pytest.raises(ValueError, match="only merged tokens"):
        engine.laboratory().likelihood_without(engine.prompt(messages, GREEDY), SEVERAL_WORDS, [0], "left_out")


@pytest.mark.parametrize(
    "options",
    [
        GREEDY,
        pytest.param(GenerationOptions(max_new_tokens=10, repetition_penalty=1.4), marks=pytest.mark.slow),
        pytest.param(GenerationOptions(max_new_tokens=10, temperature=0.7, seed=1, top_p=0.8), marks=pytest.mark.slow),
        GenerationOptions(max_new_tokens=10, temperature=1.3, seed=2, top_k=4, repetition_penalty=1.2),
    ],
)
def test_the_choices_of_a_word_are_those_that_its_tokens_were_drawn_from(warm, theirs, options):
    """Against the rules written down once more, over transformers' logits: penalty, temperature, top-k, top-p."""
    engine, messages = warm, CHATS["picture"]
    text = answer(engine, messages, options).text
    prompt = engine.prompt(messages, options)
    words = engine.answer_words(prompt.trace, text)
    found = engine.laboratory().choices(prompt, text, longest(words), options)
    ids, exact = engine.answer_ids(prompt.trace, text)
    assert found.exact_tokens and exact and found.word == words[longest(words)]
    output = reference(theirs, engine, messages, ids)
    assert [choice.place for choice in found.choices] == list(range(found.word.start, found.word.end))
    for choice in found.choices:
        end = len(prompt.trace) + choice.place
        logits = output.logits[0, end - 1].clone()
        logits[list(engine.never_sampled)] = -torch.inf
        seen = np.unique(np.concatenate([prompt.trace.input_ids, ids])[:end])
        penalised = torch.where(logits > 0, logits / options.repetition_penalty, logits * options.repetition_penalty)
        logits[seen] = penalised[seen]
        probabilities = (logits / (options.temperature or 1)).softmax(-1)
        order = probabilities.argsort(descending=True)
        kept = len(order)
        if options.temperature:
            kept = options.top_k or kept
            share = probabilities[order[:kept]] / probabilities[order[:kept]].sum()
            kept = int((share.cumsum(0) - share < options.top_p).sum())
        order = order[:kept]
        expected = probabilities[order] / probabilities[order].sum()
        assert [c.token for c in choice.candidates] == order[:5].tolist()
        np.testing.assert_allclose([c.probability for c in choice.candidates], expected[:5].numpy(), atol=2e-4)
        assert choice.chosen.token == ids[choice.place] and choice.chosen.probability > 0
        if not options.temperature:
            assert choice.chosen == choice.candidates[0]
        assert choice.candidates[0].text == engine.processor.tokenizer.token_text(int(order[0]))


def test_what_the_answer_would_have_been_is_the_greedy_one_behind_another_token(warm, monkeypatch):
    """As a plain loop over the prompt, the tokens before and that one gives it. The answer's own tokens and the
    conversation's cache stay."""
    engine, messages = warm, CHATS["picture"]
    text = answer(engine, messages).text
    prompt = engine.prompt(messages, GREEDY)
    ids, _ = engine.answer_ids(prompt.trace, text)
    choice = engine.laboratory().choices(prompt, text, 1, GREEDY).choices[0]
    monkeypatch.setattr("qwen2vl_demo.engine.local_laboratory.MAX_CONTINUED", 6)
    for candidate in choice.candidates[:2]:
        found = engine.laboratory().continued(prompt, text, choice.place, candidate.token, GREEDY)
        assert found == plain_loop(engine, prompt, [*ids[: choice.place], candidate.token])
    assert choice.chosen == choice.candidates[0]
    again, exact = engine.answer_ids(prompt.trace, text)
    assert exact and again.tolist() == ids.tolist()
    assert engine.word_attention(prompt, text, 1).computed_tokens == choice_length(engine, prompt, text, 1)


def choice_length(engine, prompt, text, word):
    found = engine.answer_words(prompt.trace, text)[word]
    return found.end - found.start


@torch.no_grad()
def plain_loop(engine, prompt, given, count=6):
    """Greedy decoding without any cache: the whole sequence is run for each token."""
    model, ids = engine.model, list(given)
    vision = torch.cat(engine.encoded(prompt, lambda: None))
    while ids[-1] not in engine.end_tokens and len(ids) < len(given) + count:
        trace = extend_prompt(prompt, np.array(ids)).trace
        embedded = model.embed(torch.from_numpy(trace.input_ids)[None], vision)
        logits = model.logits(model(embedded, torch.from_numpy(trace.position_ids)[:, None])[0, -1])
        logits[list(engine.never_sampled)] = -torch.inf
        ids.append(int(logits.argmax()))
    decoder = StreamDecoder(engine.processor.tokenizer)
    return "".join(decoder.push(i) for i in ids if i not in engine.end_tokens)


def test_a_token_that_ends_the_answer_ends_it(warm):
    engine, messages = warm, CHATS["picture"]
    prompt, end = engine.prompt(messages, GREEDY), min(engine.end_tokens)
    ids, _ = engine.answer_ids(prompt.trace, SEVERAL_WORDS)
    place = engine.answer_words(prompt.trace, SEVERAL_WORDS)[2].start
    expected = engine.processor.tokenizer.decode(ids[:place])
    assert engine.laboratory().continued(prompt, SEVERAL_WORDS, place, end, GREEDY) == expected


@pytest.mark.parametrize("chat", ["picture and clip"])
def test_the_layers_of_a_token_equal_transformers(warm, theirs, chat):
    """The state before each layer through the final norm and the output layer; the last one is normed there already."""
    engine, messages = warm, CHATS[chat]
    prompt = engine.prompt(messages, GREEDY)
    output = reference(theirs, engine, messages, np.array([40]))
    states = output.hidden_states
    for token in (prompt.trace.media[0].span[0], prompt.trace.media[-1].span[1] - 1, len(prompt.trace) - 1):
        found = engine.laboratory().layer_words(prompt, token)
        assert len(found) == len(states) == engine.model.config.text.num_layers + 1
        for layer, row in enumerate(found):
            state = states[layer][0, token]
            normed = state if layer == len(states) - 1 else theirs.model.language_model.norm(state)
            values, tokens = theirs.lm_head(normed).softmax(-1).topk(5)
            assert [c.token for c in row] == tokens.tolist(), (token, layer)
            np.testing.assert_allclose([c.probability for c in row], values.detach().numpy(), atol=2e-4)


def test_a_stop_gives_nothing_and_frees_the_engine(warm):
    engine, messages, cancel = warm, CHATS["picture"], threading.Event()
    prompt, laboratory = engine.prompt(messages, GREEDY), engine.laboratory()
    cancel.set()
    token = prompt.trace.media[0].span[0]
    assert laboratory.likelihood(prompt, SEVERAL_WORDS, (), cancel) is None
    assert laboratory.likelihood_without(prompt, SEVERAL_WORDS, [token], "grey", cancel) is None
    assert laboratory.choices(prompt, SEVERAL_WORDS, 0, GREEDY, cancel) is None
    assert laboratory.continued(prompt, SEVERAL_WORDS, 0, 40, GREEDY, cancel) is None
    assert laboratory.layer_words(prompt, token, cancel) is None
    with engine.queue.join() as ticket:
        assert ticket.position == 0


def test_what_is_not_there_is_refused_in_words(warm):
    engine, messages = warm, CHATS["picture"]
    prompt, laboratory = engine.prompt(messages, GREEDY), engine.laboratory()
    for call in (
        lambda: laboratory.choices(prompt, SEVERAL_WORDS, 6, GREEDY),
        lambda: laboratory.continued(prompt, SEVERAL_WORDS, 99, 40, GREEDY),
        lambda: laboratory.continued(prompt, SEVERAL_WORDS, 0, 10**6, GREEDY),
        lambda: laboratory.continued(prompt, SEVERAL_WORDS, 0, engine.never_sampled[0], GREEDY),
        lambda: laboratory.layer_words(prompt, len(prompt.trace)),
    ):
        with pytest.raises(UserError):
            call()
