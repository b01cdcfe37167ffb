"""O módulo de referência do curso *Fine-tuning de LLMs para Classificação*.

Tudo o que a aula define está aqui, com os nomes e as assinaturas dela::

    from llmdefinitions import GPTModel, classify_review, train_classifier_simple

Importar o pacote é instantâneo: cada nome só carrega o seu módulo (e o PyTorch) quando é usado (PEP 562).
"""

from importlib import import_module

_MODULE_NAMES = {
    "config": ("BASE_CONFIG", "DEFAULT_MODEL", "END_OF_TEXT", "MODEL_CONFIGS", "chosen_model", "model_config"),
    "tokenizer": ("get_tokenizer", "text_to_token_ids", "token_ids_to_text"),
    "gpt": (
        "FeedForward",
        "GELU",
        "GPTModel",
        "LayerNorm",
        "MultiHeadAttention",
        "TransformerBlock",
        "count_parameters",
    ),
    "weights": ("build_model", "download_and_load_gpt2", "load_weights_into_gpt"),
    "generation": ("generate_text_simple",),
    "sources": ("SourceError", "find_sms_spam"),
    "datasets": (
        "EMOTION_NAMES",
        "SpamDataset",
        "clean_spam_data",
        "create_balanced_dataset",
        "create_data_loaders",
        "download_and_unzip_spam_data",
        "find_duplicates",
        "load_emotion",
        "load_labelled_texts",
        "load_portuguese_messages",
        "load_spam_data",
        "map_labels",
        "random_split",
    ),
    "diagrams": (
        "draw_classification_and_instruction",
        "draw_llm_construction",
        "draw_pipeline",
        "draw_three_approaches",
        "draw_video_still",
    ),
    "features": ("extract_features", "extract_hidden_states", "load_encoder", "pool_hidden_states"),
    "classifier": (
        "LABEL_NAMES",
        "classify_review",
        "freeze",
        "load_classifier",
        "predict_labels",
        "prepare_for_classification",
        "replace_output_head",
        "save_classifier",
        "unfreeze_last_blocks",
    ),
    "training": (
        "calc_accuracy_loader",
        "calc_loss_batch",
        "calc_loss_loader",
        "evaluate_model",
        "get_device",
        "train_classifier_simple",
    ),
    "frozen": ("ActivationCache", "prepare_frozen", "train_classifier_frozen"),
    "inference": ("classify_texts", "score_texts"),
    "instruct": ("follow_instruction", "load_smollm2", "mark_answer"),
    "evaluation": (
        "bootstrap_interval",
        "classification_scores",
        "expected_cost",
        "predict_loader",
        "tfidf_baseline",
    ),
    "memory": ("estimate_finetuning_memory",),
    "monitoring": ("drift", "message_statistics"),
    "plotting": (
        "plot_attention",
        "plot_batch",
        "plot_class_counts",
        "plot_confusion_matrix",
        "plot_costs",
        "plot_intervals",
        "plot_learning_curves",
        "plot_loss_and_accuracy",
        "plot_loss_mask",
        "plot_memory",
        "plot_parameter_shares",
        "plot_position_margins",
        "plot_precision_by_prevalence",
        "plot_projection",
        "plot_quantization",
        "plot_scores",
        "plot_stage_times",
        "plot_token_lengths",
        "plot_token_pieces",
        "plot_values",
    ),
    "pretraining": ("continue_pretraining", "perplexity"),
    "quantization": ("dequantize_absmax", "quantize_absmax", "quantize_model"),
    "video": ("show_video",),
}
_MODULE_OF = {name: module for module, names in _MODULE_NAMES.items() for name in names}

__all__ = sorted(_MODULE_OF)
__version__ = "0.1.0"


def __getattr__(name):
    if name not in _MODULE_OF:
        raise AttributeError(f"llmdefinitions não tem {name!r}; veja dir(llmdefinitions).")
    value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted([*globals(), *__all__])
